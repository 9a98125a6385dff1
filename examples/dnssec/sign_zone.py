"""Signs a zone with keys in the HSM: DNSSEC with NSEC (RFC 4034), by dnspython."""

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dns.dnssec
import dns.rdata
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from dns.dnssecalgs.cryptography import CryptographyPrivateKey
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdatatype import CDNSKEY, CDS, DNSKEY
from dns.rdtypes.dnskeybase import Flag

from examples.connection import hsm, parser
from keystead.client import Client
from keystead.client.private_keys import HsmEllipticCurveKey, HsmRsaKey, private_key

LIFETIME_SECONDS: Final = 14 * 86400
OF_KEYS: Final = (DNSKEY, CDS, CDNSKEY)

Pair = tuple[PrivateKeyTypes, dns.rdata.Rdata]
"""A private key, and its DNSKEY record."""


def sign(client: Client, given: Namespace) -> list[str]:
    """Write the signed zone; return the DS records for the parent zone."""
    zone = dns.zone.from_file(str(given.zone), relativize=False)
    ksks = [_pair(client, one, Flag.ZONE | Flag.SEP) for one in given.ksk]
    zsks = [_pair(client, one, Flag.ZONE) for one in given.zsk]
    published = [_pair(client, one, Flag.ZONE) for one in given.publish]
    found: list[dns.rrset.RRset] = []
    # dnspython puts in keys and NSEC records, and says what is to be signed.
    dns.dnssec.sign_zone(
        zone,
        keys=[*ksks, *zsks, *published],
        rrset_signer=lambda _, records: found.append(records),
    )
    with zone.writer() as change:
        for pair in (*ksks, *zsks):
            of_pair = [one for one in found if pair in (ksks if one.rdtype in OF_KEYS else zsks)]
            for records, signature in _signed(zone, of_pair, pair):
                change.add(records.name, records.ttl, signature)
    zone.to_file(str(given.output), relativize=False, want_origin=True)
    return [_ds(zone, record) for _, record in ksks]


def _pair(client: Client, key_id: str, flags: int) -> Pair:
    key = private_key(client, key_id)
    return key, dns.dnssec.make_dnskey(key.public_key(), _algorithm(key), flags)


def _algorithm(key: object) -> Algorithm:
    """Return the algorithm for a key (RFC 8624). Raises ValueError if there is none."""
    match key:
        case rsa.RSAPrivateKey():
            return Algorithm.RSASHA256
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return Algorithm.ECDSAP256SHA256
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return Algorithm.ECDSAP384SHA384
        case ed25519.Ed25519PrivateKey():
            return Algorithm.ED25519
        case _:
            raise ValueError("DNSSEC has no algorithm for this key.")


class _Later(CryptographyPrivateKey):
    """For dnspython a private key: its signature is what has to be signed."""

    def __init__(self) -> None:
        pass

    def sign(self, data: bytes, *_: bool) -> bytes:
        return data


def _signed(
    zone: dns.zone.Zone, records: list[dns.rrset.RRset], pair: Pair
) -> Iterator[tuple[dns.rrset.RRset, dns.rdata.Rdata]]:
    """Yield each set of records with its signature; the HSM makes a thousand in a request."""
    key, record = pair
    now = int(time.time())
    prepared = [
        dns.dnssec.sign(one, _Later(), zone.origin, record, now, lifetime=LIFETIME_SECONDS)
        for one in records
    ]
    made = _sign_many(key, [one.signature for one in prepared])
    for one, unsigned, signature in zip(records, prepared, made, strict=True):
        yield one, unsigned.replace(signature=signature)


def _sign_many(key: PrivateKeyTypes, data: list[bytes]) -> list[bytes]:
    """Return signatures in the form of DNSSEC (RFC 3110, 6605, 8080)."""
    match key:
        case HsmRsaKey():
            return key.sign_many(data, padding.PKCS1v15(), hashes.SHA256())
        case HsmEllipticCurveKey(key_size=256):
            return [_raw(one, 32) for one in key.sign_many(data, ec.ECDSA(hashes.SHA256()))]
        case HsmEllipticCurveKey():
            return [_raw(one, 48) for one in key.sign_many(data, ec.ECDSA(hashes.SHA384()))]
        case _:
            return key.sign_many(data)


def _raw(signature: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size) + s.to_bytes(size)


def _ds(zone: dns.zone.Zone, record: dns.rdata.Rdata) -> str:
    return f"{zone.origin} IN DS {dns.dnssec.make_ds(zone.origin, record, DSDigest.SHA256)}"


def main() -> None:
    """Sign, and print the DS records."""
    top = parser(__doc__)
    top.add_argument("zone", type=Path, metavar="ZONE")
    top.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    for option, text in (
        ("--ksk", "a key that signs the keys; may be given more than once"),
        ("--zsk", "a key that signs everything else"),
        ("--publish", "a key that is published and signs nothing yet, or nothing more"),
    ):
        top.add_argument(option, action="append", default=[], metavar="KEY", help=text)
    given = top.parse_args()
    with hsm(given) as client:
        print(*sign(client, given), sep="\n")


if __name__ == "__main__":
    main()
