"""The edge process, as the supervisor starts it."""

from keystead.imports import USED_BY_THE_CORE
from keystead.processes.loading import loading

with loading(*USED_BY_THE_CORE):
    from keystead.processes.edge.process import main

main()
