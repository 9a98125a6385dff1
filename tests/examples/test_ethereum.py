"""examples/ethereum: eth-account finds the HSM's key in what was signed, and in nothing else."""

MORE = """
printf 'I own another address.' > changed
account signer message changed message.signed
account finish message changed signature ether.pem -o none 2>refusal || tail -1 refusal
"""
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def test_the_address_of_the_key_signed_each_kind(follow, locked, tmp_path):
    locked("ethereum")
    *lines, changed, refusal = follow("ethereum", MORE).stdout.splitlines()
    address = (tmp_path / "address").read_text().strip()
    assert lines[-4:] == [address] * 4
    assert changed != address
    assert refusal == "ValueError: The signature is not of this key over this digest."
    for kind in ("message", "typed-data"):
        signature = bytes.fromhex((tmp_path / f"{kind}.signed").read_text().strip()[2:])
        assert int.from_bytes(signature[32:64]) <= HALF_ORDER
        assert signature[64] in {27, 28}
