"""The platform process, as the supervisor starts it."""

import sys

from keystead.imports import OPENSSL, USED_BY_THE_CORE, USED_WITH_TLS, without
from keystead.processes.loading import loading

# The platform needs TLS only for syslog.
_HAS_TLS = "--tls" in sys.argv

with (
    loading(*USED_BY_THE_CORE, *(() if _HAS_TLS else USED_WITH_TLS)),
    without(*(() if _HAS_TLS else OPENSSL)),
):
    from keystead.processes.platform.process import main

main()
