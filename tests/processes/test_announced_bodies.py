"""Bodies that are announced and do not come, at a real server: others' long bodies pass."""

import base64
from contextlib import ExitStack

from tests.support.server import Server, basic

ANNOUNCED = 640
WANTED = {"type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}


def test_one_operator_who_announces_much_keeps_nobody_else_out(provisioned_server: Server):
    server = provisioned_server
    for name in ("mine", "theirs"):
        server.add_user(name, "Operator")
    json = {"id": "key", **WANTED}
    assert server.request("POST", "/keys/generate", user="admin", json=json).status == 201
    message = base64.b64encode(bytes(200_000)).decode()
    headers = {
        "Authorization": basic("mine", server.passphrases["mine"]),
        "Content-Type": "application/json",
        "Content-Length": "60000000",
    }
    assert server.request("GET", "/keys", user="mine").status == 200
    with ExitStack() as connections:
        for _ in range(ANNOUNCED):
            connection = server.connect()
            connections.callback(connection.close)
            connection.putrequest("POST", "/api/v1/keys/key/sign")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(b'{"mode":"EdDSA","message":"')
        for _ in range(5):
            json = {"mode": "EdDSA", "message": message}
            answer = server.request("POST", "/keys/key/sign", user="theirs", json=json)
            assert answer.status == 200
