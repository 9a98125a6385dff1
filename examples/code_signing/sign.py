"""Signs files as CMS (RFC 5652, detached) with an HSM key and its certificate."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from examples.connection import hsm, parser
from keystead.client.private_keys import private_key


def main() -> None:
    """Write FILE.p7s beside each file."""
    top = parser(__doc__)
    top.add_argument("--key", required=True, help="the key in the HSM")
    top.add_argument("--certificate", type=Path, required=True, metavar="FILE")
    top.add_argument("files", type=Path, nargs="+", metavar="FILE")
    given = top.parse_args()
    certificate = x509.load_pem_x509_certificate(given.certificate.read_bytes())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    with hsm(given) as client:
        key = private_key(client, given.key)
        for file in given.files:
            builder = pkcs7.PKCS7SignatureBuilder().set_data(file.read_bytes())
            signed = builder.add_signer(certificate, key, hashes.SHA256())
            Path(f"{file}.p7s").write_bytes(signed.sign(Encoding.DER, options))


if __name__ == "__main__":
    main()
