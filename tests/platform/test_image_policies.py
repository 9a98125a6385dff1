"""The device key, sealed to whatever image the builder has signed, from a security version on."""

import base64
import shutil
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keystead.errors import InvalidInput, StartRefused
from keystead.model.secret import Secret
from keystead.platform.device_key import DeviceKey
from keystead.platform.image_policy import ImagePolicy
from keystead.platform.pcrs import PcrSelection
from tests.support.image_policies import PRIVATE, boot, pem_of, signed_policy
from tests.support.tpm import Swtpm, swtpm

pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")

from keystead.platform.device_key_tpm2 import Images, InTpm

__all__ = ["swtpm"]

KEY = Secret(bytes(range(32)))


def policy_of(
    image: bytes, security_version: int, private: ec.EllipticCurvePrivateKey = PRIVATE
) -> ImagePolicy:
    return ImagePolicy.parse(signed_policy(image, security_version, private))


def booted(tpm: Swtpm, image: bytes, policy: ImagePolicy, pcrs: str = "sha256:7") -> InTpm:
    """The provider on a machine that has just started `image`, which comes with `policy`."""
    boot(tpm, image)
    images = Images(pem_of(), policy)
    return InTpm(tpm.tcti, PcrSelection.parse(pcrs), numbers_seals=True, images=images)


def test_an_update_opens_the_key_that_the_image_before_it_has_sealed(swtpm: Swtpm) -> None:
    sealed = booted(swtpm, b"one", policy_of(b"one", 1)).seal(KEY)
    for image, version in ((b"one", 1), (b"two", 1), (b"three", 2)):
        provider = booted(swtpm, image, policy_of(image, version))
        assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_an_image_that_nobody_signed_does_not_open_it(swtpm: Swtpm) -> None:
    sealed = booted(swtpm, b"one", policy_of(b"one", 1)).seal(KEY)
    stranger = ec.generate_private_key(ec.SECP256R1())
    for policy in (policy_of(b"one", 1), policy_of(b"other", 1, stranger)):
        with pytest.raises(StartRefused, match="not the image that the policy was signed for"):
            booted(swtpm, b"other", policy).unseal(sealed)


def test_the_signature_for_one_version_is_of_no_use_for_another(swtpm: Swtpm) -> None:
    sealed = booted(swtpm, b"two", policy_of(b"two", 2)).seal(KEY)
    old = policy_of(b"one", 1)
    forged = msgspec.structs.replace(old, signatures={2: old.signatures[1]})
    with pytest.raises(StartRefused, match="not the image"):
        booted(swtpm, b"one", forged).unseal(sealed)


def test_an_old_image_opens_neither_the_new_key_nor_its_copy_of_the_old_one(
    tmp_path: Path, swtpm: Swtpm
) -> None:
    old = policy_of(b"one", 1)
    kept = DeviceKey(tmp_path, booted(swtpm, b"one", old))
    key = kept.fetch(store_exists=False).settle(None)
    kept.revoke_older()
    copy = Path(shutil.copy(kept.path, tmp_path / "copy")).read_bytes()
    kept = DeviceKey(tmp_path, booted(swtpm, b"two", policy_of(b"two", 2)))
    assert kept.fetch(store_exists=True).settle(None).reveal() == key.reveal()
    # What `keystead device-key move --to tpm2` does, after the update.
    kept.stage(key)
    kept.promote()
    kept.revoke_older()
    provider = booted(swtpm, b"one", old)
    with pytest.raises(StartRefused, match="security version 1 and is too old"):
        provider.unseal(kept.path.read_bytes())
    with pytest.raises(StartRefused, match="it is an older copy"):
        provider.unseal(copy)


def test_the_version_in_the_file_does_not_decide(swtpm: Swtpm) -> None:
    sealed = booted(swtpm, b"two", policy_of(b"two", 2)).seal(KEY)
    header, _, content = sealed.partition(b"\n")
    fields = msgspec.msgpack.decode(content)
    fields[-1][1] = 1
    changed = header + b"\n" + msgspec.msgpack.encode(fields)
    with pytest.raises(StartRefused):
        booted(swtpm, b"one", policy_of(b"one", 1)).unseal(changed)


def test_the_registers_that_are_not_the_image_s_count_too(swtpm: Swtpm) -> None:
    policy = policy_of(b"one", 1)
    sealed = booted(swtpm, b"one", policy).seal(KEY)
    provider = booted(swtpm, b"one", policy)
    swtpm.extend(7)
    with pytest.raises(StartRefused, match="of the PCRs sha256:7, 7 is not what it was"):
        provider.unseal(sealed)


def test_a_register_of_the_image_cannot_be_fixed_too(swtpm: Swtpm) -> None:
    with pytest.raises(StartRefused, match="PCR 11 is in the policy of the image"):
        booted(swtpm, b"one", policy_of(b"one", 1), "sha256:7,11").seal(KEY)


def test_without_its_policy_an_image_is_told_what_is_missing(swtpm: Swtpm) -> None:
    sealed = booted(swtpm, b"one", policy_of(b"one", 3)).seal(KEY)
    provider = InTpm(swtpm.tcti, PcrSelection.parse("sha256:7"))
    with pytest.raises(StartRefused, match="none is configured"):
        provider.unseal(sealed)
    assert "images: signed, of security version 3 on" in provider.describe(sealed)


def test_a_key_that_every_image_opens_still_opens(swtpm: Swtpm) -> None:
    sealed = InTpm(swtpm.tcti, PcrSelection.parse("sha256:7")).seal(KEY)
    assert booted(swtpm, b"one", policy_of(b"one", 1)).unseal(sealed).reveal() == KEY.reveal()


def test_a_key_that_is_none_is_named(swtpm: Swtpm) -> None:
    images = Images(b"no PEM", policy_of(b"one", 1))
    provider = InTpm(swtpm.tcti, PcrSelection.parse("none"), images=images)
    with pytest.raises(StartRefused, match="not a public key in PEM"):
        provider.seal(KEY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"pcrs": "sha256:11", "signatures": {}}',
        b'{"pcrs": "none", "signatures": {"1": "AA=="}}',
        b'{"pcrs": "sha256:11", "signatures": {"1": "AA=="}}',
        b'{"pcrs": "sha256:11", "signatures": {"1": "?"}}',
        b'{"pcrs": "sha256:11", "signatures": {"-1": "AA=="}}',
        b'{"pcrs": "sha256:99", "signatures": {"1": "AA=="}}',
    ],
)
def test_a_file_that_is_no_policy_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        ImagePolicy.parse(content)


def test_a_policy_has_a_signature_for_each_version_up_to_its_own() -> None:
    policy = policy_of(b"one", 3)
    assert sorted(policy.signatures) == [0, 1, 2, 3]
    assert len({base64.b64decode(text) for text in policy.signatures.values()}) == 4
