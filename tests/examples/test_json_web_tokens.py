"""examples/json_web_tokens: a service accepts the tokens, and OpenSSL checks one of them."""

import base64
import json

MORE = """
sed 's/[^.]*$/AAAA/' RS256.jwt > forged.jwt
python -m examples.json_web_tokens.verify forged.jwt jwks.json example || echo forged is refused
python -m examples.json_web_tokens.verify RS256.jwt jwks.json other || echo other is refused
keystead keys public rs256 -o rsa.pem
cut -d. -f1,2 RS256.jwt | tr -d '\\n' > signed
cut -d. -f3 RS256.jwt | tr -d '\\n' | tr -- -_ +/ | sed 's/$/==/' | openssl base64 -d -A > signature
openssl dgst -sha256 -verify rsa.pem -signature signature signed
"""
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def test_a_service_accepts_the_tokens_with_the_key_set_alone(follow, tmp_path):
    ran = follow("json_web_tokens", MORE)
    lines = ran.stdout.splitlines()
    shown = [json.loads(line) for line in lines if line.startswith("{")]
    assert shown == [
        {"kid": algorithm.lower(), "alg": algorithm, "sub": "alice"} for algorithm in ALGORITHMS
    ]
    assert lines[-3:] == ["forged is refused", "other is refused", "Verified OK"]
    header = decoded((tmp_path / "ES256.jwt").read_text().split(".")[0])
    assert header == {"alg": "ES256", "kid": "es256", "typ": "JWT"}
    key_set = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert not [key for key in key_set if "d" in key]
