"""examples/python_pkcs11: a signature that OpenSSL verifies, a decryption, a secret by ECDH."""


def test_python_pkcs11_signs_decrypts_and_agrees(with_module):
    ran = with_module("python_pkcs11")
    for line in ("sign True", "decrypt True", "agree True", "Verified OK"):
        assert f"{line}\n" in ran.stdout
