"""The subject of a certificate signing request, as options."""

from argparse import ArgumentParser, Namespace
from typing import Final

from keystead.client.client import Json

_FIELDS: Final = {
    "country": "countryName",
    "state": "stateOrProvinceName",
    "locality": "localityName",
    "organization": "organizationName",
    "organizational-unit": "organizationalUnitName",
    "email": "emailAddress",
}
"""The options, and what the API calls them."""


def add_options(parser: ArgumentParser) -> None:
    """Give `parser` the options."""
    parser.add_argument("--common-name", required=True, metavar="NAME")
    for option in _FIELDS:
        parser.add_argument(f"--{option}", default="", metavar="NAME")
    parser.add_argument(
        "--alternative-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a DNS name or an IP address; may be given several times",
    )


def subject_of(given: Namespace) -> Json:
    """Return the subject as the API takes it."""
    subject: dict[str, Json] = {"commonName": given.common_name}
    for option, name in _FIELDS.items():
        subject[name] = getattr(given, option.replace("-", "_"))
    if given.alternative_name:
        subject["subjectAltNames"] = given.alternative_name
    return subject
