#!/usr/bin/env bash
# OpenSSL's default client accepts a server certificate on a Brainpool curve in TLS 1.3 and refuses the
# same certificate in TLS 1.2. So a server can hold a certificate that works with the newest clients, and
# that everyone who is limited to TLS 1.2 sees as "no shared cipher", an error that names no curve.
# Whoever tries out a certificate has to try each version of TLS that is served.
#
# RFC 8734 gave Brainpool curves code points of their own for TLS 1.3. OpenSSL's default client offers
# these; the older ones (RFC 7027), which TLS 1.2 knows, it does not offer.
#
# Seen with OpenSSL 4.0.3 (in cryptography 50.0.2, through pyOpenSSL 26.4.0) on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check --quiet install cryptography==50.0.2 pyOpenSSL==26.4.0
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

key = ec.generate_private_key(ec.BrainpoolP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now(datetime.UTC)
certificate = (
    x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    .sign(key, hashes.SHA256())
)


def handshake(version):
    """Return what a default client of this version and a default server come to."""
    server, client = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    server.use_privatekey(key)
    server.use_certificate(certificate)
    client.set_max_proto_version(version)
    sides = SSL.Connection(client, None), SSL.Connection(server, None)
    sides[0].set_connect_state()
    sides[1].set_accept_state()
    for mine, other in [sides, sides[::-1]] * 4:
        try:
            mine.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            return error.args[0][0][2]
        try:
            other.bio_write(mine.bio_read(65536))
        except SSL.WantReadError:
            pass
    return "accepted"


print(SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode())
print("TLS 1.2:", handshake(SSL.TLS1_2_VERSION))
print("TLS 1.3:", handshake(SSL.TLS1_3_VERSION))
PYTHON
)
echo "$seen"
[ "$(tail -n 2 <<<"$seen")" = $'TLS 1.2: no shared cipher\nTLS 1.3: accepted' ]
