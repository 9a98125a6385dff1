"""Runs the appliance: the kernel starts this as process 1."""

from keystead.processes.loading import loading

with loading():
    from keystead.processes.machine.process import main

main()
