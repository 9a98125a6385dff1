"""The core process, as the supervisor starts it."""

from keystead.processes.loading import loading

with loading():
    from keystead.processes.core.process import main

main()
