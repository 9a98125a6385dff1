"""The edge process, as the supervisor starts it."""

from keystead.processes.edge.process import main

main()
