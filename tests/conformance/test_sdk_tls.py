import nethsm
import pytest
from cryptography import x509

from tests.support.authority import Authority


@pytest.mark.parametrize(
    ("key_type", "length"),
    [(nethsm.TlsKeyType.RSA, 2048), (nethsm.TlsKeyType.CURVE25519, None)],
)
def test_the_sdk_generates_a_tls_key_and_installs_its_certificate(admin, key_type, length):
    before = admin.get_certificate(), admin.get_public_key()
    admin.generate_tls_key(key_type, length)
    assert admin.get_public_key() != before[1]
    csr = admin.csr(common_name="hsm.example", subject_alt_names=["hsm.example"])
    authority = Authority("root")
    certificate = authority.sign(csr.encode())
    admin.set_certificate(certificate)
    assert admin.get_certificate().encode() == certificate
    assert x509.load_pem_x509_certificate(certificate).subject.rfc4514_string() == "CN=hsm.example"


def test_the_sdk_sets_the_cluster_authority(admin):
    with pytest.raises(nethsm.NetHSMError, match="has not been set"):
        admin.get_cluster_ca_certificate()
    authority = Authority("root")
    with pytest.raises(nethsm.NetHSMError):
        admin.set_cluster_ca_certificate(authority.pem)
    admin.set_certificate(authority.sign(admin.csr(common_name="hsm.example").encode()))
    admin.set_cluster_ca_certificate(authority.pem)
    assert admin.get_cluster_ca_certificate().encode() == authority.pem


def test_the_sdk_is_told_what_is_wrong_with_a_certificate(admin):
    with pytest.raises(nethsm.NetHSMError, match="Bad Request"):
        admin.set_certificate(b"not a certificate")
