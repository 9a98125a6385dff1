import base64
import os

import pytest

from keystead.errors import InvalidInput
from keystead.model.secret import Secret
from keystead.sealing.joiner_kit import MAX_KIT_CHARACTERS, JoinerKit, make_kit

KEY = Secret(os.urandom(32))


def kit() -> str:
    return make_kit(KEY, b"backup salt", unlock_salt=b"unlock salt", locked_domain_key=b"locked")


def test_a_kit_opens_under_the_backup_key_alone():
    read = JoinerKit(kit())
    assert read.backup_salt == b"backup salt"
    assert read.open(KEY) == (b"unlock salt", b"locked")
    with pytest.raises(InvalidInput, match="backupPassphrase is not that"):
        read.open(Secret(os.urandom(32)))


def test_only_the_salt_for_the_passphrase_is_in_clear():
    content = base64.b64decode(kit())
    assert base64.b64encode(b"backup salt") in content
    assert base64.b64encode(b"unlock salt") not in content
    assert base64.b64encode(b"locked") not in content


@pytest.mark.parametrize(
    "text",
    ["", "a2l0", "no base64!", "e30=", base64.b64encode(b"[" * 1000).decode()],
)
def test_what_is_no_kit_is_refused(text):
    with pytest.raises(InvalidInput, match="joinerKit is not what"):
        JoinerKit(text)


def test_a_kit_has_a_limit():
    with pytest.raises(InvalidInput, match="too long"):
        JoinerKit("A" * (MAX_KIT_CHARACTERS + 1))
