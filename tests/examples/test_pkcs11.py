"""examples/pkcs11: what the recipes have in common."""

from tests.examples.conftest import need

MORE = """
keystead keys generate common-key --type EC_P256 --user admin
pkcs11-tool --module $MODULE --list-objects --type privkey
echo 'prefix = "common-"' >> pkcs11.toml
pkcs11-tool --module $MODULE --list-objects --type privkey | grep -c "Private Key Object"
wait_until true
"""


def test_a_program_sees_the_keys_that_have_its_prefix(with_module):
    need("pkcs11-tool")
    ran = with_module("pkcs11", MORE)
    assert "label:      common-key\n" in ran.stdout
    assert ran.stdout.endswith("\n1\n")
