"""The SDK on a store with keys that it does not know: its calls for all others go on."""

import pytest
from nethsm import Base64, KeyMechanism, KeyType, SignMode
from nethsm.client.exceptions import ApiValueError

from tests.support import beyond_nethsm

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

MECHANISMS = {
    "Ed448": "EdDSA_Signature",
    "X25519": "ECDH_Derivation",
    "X448": "ECDH_Derivation",
    "BIP32": "ECDSA_Signature",
}


@pytest.fixture(scope="module")
def foreign(hsm) -> list[str]:
    """Keys of every type that NetHSM does not have; one of NetHSM's with a mechanism of ours."""
    wanted = [
        *(
            {"id": name, "type": name, "mechanisms": [MECHANISMS.get(name, of_lattices(name))]}
            for name in beyond_nethsm.KEY_TYPES
        ),
        {"id": "agrees", "type": "EC_P256", "mechanisms": ["ECDH_Derivation", "ECDSA_Signature"]},
    ]
    for one in wanted:
        answer = hsm.server.request("POST", "/keys/generate", user="admin", json=one)
        assert answer.status == 201, answer
    hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "known")
    return [one["id"] for one in wanted]


def of_lattices(name: str) -> str:
    return "ML_DSA_Signature" if name.startswith("ML_DSA") else "ML_KEM_Decapsulation"


def test_keys_are_listed_and_nethsm_s_are_shown_and_used(hsm, operator, foreign) -> None:
    assert set(hsm.admin.list_keys()) == {"known", *foreign}
    assert hsm.admin.get_key("known").type is KeyType.EC_P256
    assert operator.sign("known", Base64.encode(bytes(32)), SignMode.ECDSA).decode()
    assert operator.sign("agrees", Base64.encode(bytes(32)), SignMode.ECDSA).decode()


def test_what_it_cannot_name_it_does_not_show_but_manages(hsm, foreign) -> None:
    for key_id in foreign:
        with pytest.raises(ApiValueError, match="allowed_values"):
            hsm.admin.get_key(key_id)
        assert hsm.admin.get_key_public_key(key_id).startswith("-----BEGIN PUBLIC KEY-----")
        hsm.admin.add_key_tag(key_id, "tag")
        hsm.admin.delete_key_tag(key_id, "tag")
    hsm.admin.delete_key(foreign[0])
    assert foreign[0] not in hsm.admin.list_keys()


def test_a_user_of_a_role_that_it_cannot_name_is_listed_and_deleted(hsm) -> None:
    wanted = {"realName": "a", "role": "Auditor", "passphrase": "some passphrase"}
    answer = hsm.server.request("PUT", "/users/auditor", user="admin", json=wanted)
    assert answer.status == 201, answer
    assert "auditor" in hsm.admin.list_users()
    with pytest.raises(ApiValueError, match="allowed_values"):
        hsm.admin.get_user("auditor")
    hsm.admin.set_passphrase("auditor", "another passphrase")
    hsm.admin.delete_user("auditor")
    assert "auditor" not in hsm.admin.list_users()
