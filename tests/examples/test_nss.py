"""examples/nss: certutil finds keys and asks for certificates; OpenSSL verifies messages."""

import pytest


@pytest.mark.usefixtures("heavy")
def test_nss_signs_messages_with_keys_of_both_types(with_module):
    ran = with_module("nss")
    assert ran.stderr.count("CMS Verification successful") == 2
