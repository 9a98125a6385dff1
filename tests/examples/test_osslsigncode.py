"""examples/osslsigncode: a program for Windows that is signed, and one that was changed after."""

MORE = """
sed 's/This program/that program/' signed.exe > changed.exe
osslsigncode verify -CAfile code.pem changed.exe > log || echo a changed program is refused
"""


def test_a_signed_program_is_accepted_and_a_changed_one_is_not(with_module):
    ran = with_module("osslsigncode", MORE)
    assert "Signature verification: ok" in ran.stdout
    assert ran.stdout.endswith("a changed program is refused\n")
