"""What becomes etcd, as the supervisor starts it."""

from keystead.processes.etcd.process import main

main()
