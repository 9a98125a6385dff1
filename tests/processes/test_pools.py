"""The thread pools of the core."""

import threading

from keystead.processes.core.pools import Pools


def test_each_queue_that_tenants_share_has_a_spare_thread():
    pools = Pools.start()
    try:
        names = {thread.name for thread in threading.enumerate()}
        assert {f"{pool}_spare_0" for pool in ("crypto", "keygen", "kdf")} <= names
        assert "unlock_spare_0" not in names
    finally:
        for pool in (pools.crypto, pools.keygen, pools.kdf, pools.unlock):
            pool.close()
