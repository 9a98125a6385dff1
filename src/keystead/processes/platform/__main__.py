"""The platform process, as the supervisor starts it."""

import sys

from keystead.imports import without
from keystead.processes.loading import loading

# Only for syslog over TLS does the platform need OpenSSL. asyncio and hashlib do without it where a
# Python has none, which spares 1.5 MiB.
_UNUSED = () if "--tls" in sys.argv else ("ssl", "_hashlib")

with loading(), without(*_UNUSED):
    from keystead.processes.platform.process import main

main()
