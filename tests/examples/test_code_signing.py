"""examples/code_signing: OpenSSL accepts the signature, and only for the file that was signed."""

MORE = """
printf 'another program' > release.tar
openssl cms -verify -binary -in release.tar.p7s -inform DER -content release.tar -CAfile ca.pem \
    -purpose any -out /dev/null || echo another program is refused
"""


def test_openssl_accepts_the_file_that_was_signed_and_no_other(follow):
    ran = follow("code_signing", MORE)
    assert ran.stderr.count("CMS Verification successful") == 1
    assert ran.stdout.endswith("another program is refused\n")
