"""The core process, as the supervisor starts it."""

from keystead.processes.core.process import main

main()
