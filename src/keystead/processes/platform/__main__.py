"""The platform process, as the supervisor starts it."""

from keystead.processes.loading import loading

with loading():
    from keystead.processes.platform.process import main

main()
