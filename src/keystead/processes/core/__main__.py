"""The core process, as the supervisor starts it."""

import gc

# What is imported stays. To look for garbage in it takes a sixth of the time that importing takes.
gc.disable()

from keystead.processes.core.process import main  # noqa: E402 - see above

gc.freeze()
gc.enable()

main()
