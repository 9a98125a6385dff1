"""examples/knot: Knot makes, uses, replaces and deletes the keys of a zone."""

import pytest


@pytest.mark.parametrize("algorithm", ["ecdsap256sha256", "ed25519"])
def test_knot_replaces_the_signing_key_and_deletes_the_old_one(
    with_module, hsm, tmp_path, algorithm
):
    ran = with_module("knot", algorithm=algorithm)
    assert ran.stdout.count("ZSKs: 1 active, 0 stand-by, 0 revoked") == 2
    before, after = (keys(tmp_path / f"keys.{when}") for when in ("before", "after"))
    assert len(before) == len(after) == 2
    assert [status(hsm, key) for key in after] == [200, 200]
    (old,) = before - after
    assert status(hsm, old) == 404


def keys(listed):
    """Return the IDs of the keys of a list of keymgr's."""
    return {line.split()[0] for line in listed.read_text().splitlines()}


def status(hsm, key):
    return hsm.request("GET", f"/keys/0---{key}", user="admin").status
