"""Every operation with generated input, on a real server, against Keystead's own description.

Nothing that the description allows, or just about does not, may end in a 5xx, in a status that is
not described, or in an answer of another shape.
"""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keystead.api.description.openapi import describe
from keystead.api.routes import ROUTES
from tests.support.server import Server, running_server

EXAMPLES = 2
"""Of each operation, valid ones and invalid ones: about thirty seconds altogether."""

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
CALLERS = (None, "admin", "operator")

LEFT_OUT = {
    ("POST", "/lock"),
    ("POST", "/system/reboot"),
    ("POST", "/system/shutdown"),
    ("POST", "/system/factory-reset"),
}
"""They work without input, and the server would be gone for the others."""


@schemathesis.serializer("application/x-pem-file")
def serialize_text(_: object, text: object) -> object:
    """Send what was generated as it is."""
    return str(text).encode()


SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(describe(ROUTES))))
OPERATIONS = [
    operation
    for result in SCHEMA.get_all_operations()
    if ((operation := result.ok()).method.upper(), operation.path) not in LEFT_OUT
]


def takes_input(operation: APIOperation) -> bool:
    return bool(operation.path_parameters or operation.query or operation.body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        server.provision()
        server.add_user("operator", "Operator")
        for key_id, key_type, mechanism in (
            ("a", "EC_P256", "ECDSA_Signature"),
            ("b", "Generic", "AES_Encryption_CBC"),
        ):
            wanted = {"id": key_id, "type": key_type, "mechanisms": [mechanism], "length": 256}
            assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
        yield server


@pytest.fixture(scope="module")
def session(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[requests.Session]:
    """A client that trusts the server's certificate."""
    certificate: Path = tmp_path_factory.mktemp("trust") / "server.pem"
    certificate.write_text(ssl.get_server_certificate((server.host, server.port)))
    with requests.Session() as session:
        session.verify = str(certificate)
        yield session


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        *((operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        *(
            (operation, GenerationMode.NEGATIVE)
            for operation in OPERATIONS
            if takes_input(operation)
        ),
    ],
    ids=lambda one: getattr(one, "label", None) or one.value,
)
def test_every_answer_is_as_described(
    server: Server, session: requests.Session, operation: APIOperation, mode: GenerationMode
) -> None:
    credentials = [None if user is None else (user, server.passphrases[user]) for user in CALLERS]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def every_caller_gets_what_is_described(case: Case) -> None:
        for auth in credentials:
            response = case.call(
                base_url=f"{server.url}/api/v1",
                session=session,
                auth=auth,
                verify=session.verify,
                timeout=30,
            )
            case.validate_response(response, checks=CHECKS)

    every_caller_gets_what_is_described()
