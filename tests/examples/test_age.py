"""examples/age: age decrypts with a key in the HSM what it encrypted without one."""

import shutil

import pytest

MORE = """
age-keygen -o other 2>/dev/null
echo both | age -r $(age-keygen -y other) -r $recipient | age -d -i identity
echo other | age -r $(age-keygen -y other) -o other.age
age -d -i identity other.age 2>refusal || grep -o "no identity matched" refusal
"""


def test_age_decrypts_with_a_key_in_the_hsm(follow):
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    ran = follow("age", MORE)
    assert ran.stdout.splitlines()[-3:] == ["a secret", "both", "no identity matched"]
