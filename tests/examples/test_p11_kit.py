"""examples/p11_kit: programs that name no module find it, and sign through the proxy."""

import re


def test_programs_find_the_module_by_name_and_sign_through_the_proxy(with_module, as_user):
    ran = with_module("p11_kit", wrapper=as_user)
    assert re.search(r"^(module: keystead$|keystead: )", ran.stdout, re.MULTILINE)
    assert "Label: kit-ed25519" in ran.stdout
    assert "Verified OK\n" in ran.stdout
    assert "Signature Verified Successfully\n" in ran.stdout
