"""Software that takes private keys, given those of an HSM: prints what works, as JSON.

It runs in the environment of requirements-private-keys.lock: HOST PORT SHA256 USER PASSPHRASE AGENT
AGENT is the socket of a `keystead ssh-agent` with the same keys.
"""

import asyncio
import base64
import json
import sys
import warnings
from collections.abc import Callable, Iterator

import asyncssh
import dns.dnssec
import dns.name
import dns.rrset
import josepy
import jwt
import paramiko

from keystead.client import Client, Credentials, Endpoint, Pinned
from keystead.client.private_keys import private_key

JOSE = {"ES256": "p256", "RS256": "rsa", "PS256": "rsa", "EdDSA": "ed"}
JOSEPY = ("ES256", "RS256", "PS256")
DNSSEC = {8: "rsa", 13: "p256", 15: "ed"}


SSH = ("ecdsa-sha2-nistp256", "rsa-sha2-512", "ssh-ed25519")


class PublicNumbersOfRsa(paramiko.RSAKey):
    """paramiko's RSA key with the public numbers of an HSM key."""

    @property
    def public_numbers(self):
        return self.key.public_key().public_numbers()


def attempts(keys, agent) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is tried, by its name; each raises if it does not work."""
    for algorithm, name in JOSE.items():
        yield f"PyJWT {algorithm}", lambda key=keys[name], one=algorithm: sign_jwt(key, one)
    for algorithm in JOSEPY:
        key = jwk(keys[JOSE[algorithm]])
        yield f"josepy {algorithm}", lambda key=key, one=algorithm: sign_jws(key, one)
    yield "josepy thumbprint", lambda: jwk(keys["p256"]).thumbprint()
    yield "josepy thumbprint of the public key", lambda: public_jwk(keys["p256"]).thumbprint()
    for number, name in DNSSEC.items():
        yield f"dnspython {number}", lambda key=keys[name], one=number: sign_zone(key, one)
    yield "paramiko ECDSA", lambda: sign_ssh(paramiko.ECDSAKey(vals=pair(keys["p256"])))
    yield "paramiko RSA", lambda: sign_ssh(paramiko.RSAKey(key=keys["rsa"]))
    yield "paramiko RSA, public numbers", lambda: sign_ssh(PublicNumbersOfRsa(key=keys["rsa"]))
    for algorithm in SSH:
        yield f"asyncssh {algorithm}", lambda one=algorithm: asyncio.run(sign_by(agent, one))


def pair(key):
    return key, key.public_key()


def sign_jwt(key, algorithm):
    token = jwt.encode({"a": 1}, key, algorithm=algorithm)
    jwt.decode(token, key.public_key(), algorithms=[algorithm])


def jwk(key):
    if hasattr(key, "curve"):
        return josepy.JWKEC(key=josepy.util.ComparableECKey(key))
    return josepy.JWKRSA(key=josepy.util.ComparableRSAKey(key))


def public_jwk(key):
    return josepy.JWKEC(key=josepy.util.ComparableECKey(key.public_key()))


def sign_jws(key, algorithm):
    signed = josepy.JWS.sign(b"x", key=key, alg=getattr(josepy, algorithm), protect={"alg"})
    assert signed.verify(key.public_key())


def sign_zone(key, algorithm):
    zone = dns.name.from_text("example.")
    published = dns.dnssec.make_dnskey(key.public_key(), algorithm)
    records = dns.rrset.from_text("example.", 300, "IN", "A", "192.0.2.1")
    signature = dns.dnssec.sign(records, key, zone, published, lifetime=1000)
    keys = {zone: dns.rrset.from_rdata("example.", 300, published)}
    dns.dnssec.validate(records, dns.rrset.from_rdata("example.", 300, signature), keys)


def sign_ssh(key):
    signed = key.sign_ssh_data(b"x")
    signed.rewind()
    assert key.verify_ssh_sig(b"x", signed)
    assert key.asbytes()


async def sign_by(agent, algorithm):
    async with asyncssh.connect_agent(agent) as connected:
        pairs = await connected.get_keys()
        pair = next(one for one in pairs if algorithm.encode() in one.sig_algorithms)
        pair.set_sig_algorithm(algorithm.encode())
        signature = await pair.sign_async(b"x")
        public = asyncssh.import_public_key(
            pair.key_algorithm + b" " + base64.b64encode(pair.key_public_data)
        )
        assert public.verify(b"x", signature)
        assert not public.verify(b"y", signature)


def works(attempt):
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return f"{type(error).__name__}: {error}"
    return "works"


def main(host, port, sha256, user, passphrase, agent):
    warnings.simplefilter("ignore")
    endpoint = Endpoint(host, int(port), Pinned(sha256))
    with Client([endpoint], Credentials(user, passphrase)) as hsm:
        keys = {name: private_key(hsm, name) for name in ("p256", "rsa", "ed")}
        print(json.dumps({name: works(attempt) for name, attempt in attempts(keys, agent)}))  # noqa: T201 - its result


if __name__ == "__main__":
    main(*sys.argv[1:])
