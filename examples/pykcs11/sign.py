"""Sign a file with a key of the token, by PyKCS11: sign.py MECHANISM LABEL FILE SIGNATURE."""

import os
import sys
from pathlib import Path

import PyKCS11

MECHANISMS = {
    "ECDSA_SHA256": PyKCS11.Mechanism(PyKCS11.CKM_ECDSA_SHA256),
    "EDDSA": PyKCS11.Mechanism(PyKCS11.CKM_EDDSA),
    "SHA256_RSA_PKCS": PyKCS11.Mechanism(PyKCS11.CKM_SHA256_RSA_PKCS),
    "SHA256_RSA_PKCS_PSS": PyKCS11.RSA_PSS_Mechanism(
        PyKCS11.CKM_SHA256_RSA_PKCS_PSS, PyKCS11.CKM_SHA256, PyKCS11.CKG_MGF1_SHA256, 32
    ),
}


def main() -> None:
    """Sign, and have the module verify the signature with the public key."""
    mechanism, label, file, signature = sys.argv[1:]
    module = PyKCS11.PyKCS11Lib()
    module.load(os.environ["MODULE"])
    (slot,) = module.getSlotList(tokenPresent=True)
    session = module.openSession(slot)
    session.login(os.environ["KEYSTEAD_PASSPHRASE"])
    private, public = (
        session.findObjects([(PyKCS11.CKA_CLASS, half), (PyKCS11.CKA_LABEL, label)])[0]
        for half in (PyKCS11.CKO_PRIVATE_KEY, PyKCS11.CKO_PUBLIC_KEY)
    )
    message = Path(file).read_bytes()
    signed = session.sign(private, message, MECHANISMS[mechanism])
    Path(signature).write_bytes(bytes(signed))
    print(label, session.verify(public, message, signed, MECHANISMS[mechanism]))
    session.logout()
    session.closeSession()


main()
