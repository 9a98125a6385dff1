"""The crates that the module is made of: their licences, their sources, one version of each."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.pkcs11.conftest import BUILT, ROOT

PKCS11 = ROOT / "pkcs11"


def audit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run cargo-deny; return its result. Skips the test where it cannot be had."""
    if not BUILT.exists():
        pytest.skip("the PKCS#11 module is not built: `make pkcs11` needs cargo")
    done = subprocess.run(  # noqa: S603
        [ROOT / "scripts/audit-crates", sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "NOT DONE" in done.stderr:
        pytest.skip(done.stderr)
    return done


def test_the_crates_have_free_licences_one_source_and_one_version_each():
    done = audit("check", "bans", "licenses", "sources")
    assert "bans ok, licenses ok, sources ok" in done.stderr + done.stdout, done
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("check", "rule", "wrong"),
    [
        ("licenses", 'allow = ["Apache-2.0", ', 'allow = ["Zlib", '),
        ("bans", "winnow@0.7", "winnow@0.6"),
        ("sources", "[sources]", "[sources]\nallow-registry = []"),
    ],
)
def test_a_crate_that_breaks_a_rule_is_found(tmp_path, check, rule, wrong):
    text = (PKCS11 / "deny.toml").read_text()
    assert rule in text
    stricter = tmp_path / "deny.toml"
    stricter.write_text(text.replace(rule, wrong))
    done = audit("--config", stricter, "check", check)
    assert f"{check} FAILED" in done.stderr + done.stdout, done
    assert done.returncode != 0


def test_all_crates_are_locked_with_a_hash():
    locked = tomllib.loads((PKCS11 / "Cargo.lock").read_text())["package"]
    others = [crate for crate in locked if crate["name"] != "keystead-pkcs11"]
    assert others
    assert all(len(crate["checksum"]) == 64 for crate in others)
