"""examples/firmware: what sbsign, rauc and mkimage sign is verified; what was changed is not."""

import pytest

MORE = """
printf changed | dd of=signed.efi bs=1 seek=4096 conv=notrunc status=none
sbverify --cert images.pem signed.efi || echo a changed image is refused
"""


@pytest.mark.usefixtures("heavy")
def test_images_of_three_kinds_are_signed(with_module):
    ran = with_module("firmware", MORE)
    assert "Signature verification OK" in ran.stdout
    assert "Certificate Chain:\n 0 Subject: CN = Images" in ran.stdout
    assert "Sign value:" in ran.stdout
    assert "Sign value:   unavailable" not in ran.stdout
    assert ran.stdout.endswith("a changed image is refused\n")
