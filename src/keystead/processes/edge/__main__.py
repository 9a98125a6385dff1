"""The edge process, as the supervisor starts it."""

from keystead.processes.loading import loading

with loading():
    from keystead.processes.edge.process import main

main()
