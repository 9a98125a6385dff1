"""The SDK's calls about updates against a real server."""

import nethsm
import pytest

from tests.support.server import PASSPHRASES, running_server
from tests.support.update_images import key_pair, signed


@pytest.fixture
def updating_admin(tmp_path):
    """The SDK as `admin` of an Operational server that takes update images."""
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    with running_server(tmp_path, config='[update]\npublic_key = "update.pem"\n') as server:
        server.provision()
        with nethsm.connect(
            f"{server.host}:{server.port}",
            nethsm.Authentication("admin", PASSPHRASES["admin"]),
            verify_tls=False,
        ) as client:
            yield client


def test_the_sdk_uploads_cancels_and_cannot_commit(updating_admin):
    with pytest.raises(nethsm.NetHSMError, match="Precondition failed"):
        updating_admin.cancel_update()
    with pytest.raises(nethsm.NetHSMError, match="malformed image"):
        updating_admin.update(b"_NETHSM_UPDATE_\0" + bytes(1000))
    with pytest.raises(nethsm.NetHSMError, match="downgrade"):
        updating_admin.update(signed(security_version=0))
    assert updating_admin.update(signed(release_notes="Größer.")) == "Größer."
    with pytest.raises(nethsm.NetHSMError):
        updating_admin.commit_update()
    updating_admin.cancel_update()
    with pytest.raises(nethsm.NetHSMError):
        updating_admin.cancel_update()
