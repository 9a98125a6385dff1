"""The platform process, as the supervisor starts it."""

from keystead.processes.platform.process import main

main()
