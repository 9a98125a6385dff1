"""What is remembered of verified credentials has a bound, whatever tags their users have."""

from keystead.model.ids import Tag, UserId
from keystead.model.users import Caller, Role, Standing
from keystead.operations.verified import VerifiedCredentials


def caller(name: str, *tags: str) -> Caller:
    standing = Standing(frozenset(Tag(tag) for tag in tags))
    return Caller(UserId(None, name), Role.OPERATOR, standing)


def known(verified: VerifiedCredentials, names: str) -> str:
    return "".join(name for name in names if verified.get(name.encode()) is not None)


def test_the_credentials_used_last_are_known_up_to_a_number():
    verified = VerifiedCredentials(most=3)
    for name in "abc":
        verified.add(name.encode(), caller(name))
    verified.used(b"a")
    verified.add(b"d", caller("d"))
    assert known(verified, "abcd") == "acd"


def test_many_tags_take_the_place_of_many_credentials():
    verified = VerifiedCredentials(most_bytes=10_000)
    for name in "abcdefghij":
        verified.add(name.encode(), caller(name))
    verified.add(b"x", caller("x", *(f"{number:0128}" for number in range(40))))
    assert known(verified, "abcdefghijx") == "hijx"


def test_tags_that_come_later_are_counted_and_those_that_go_are_not():
    verified = VerifiedCredentials(most_bytes=10_000)
    growing = caller("growing")
    verified.add(b"a", caller("a"))
    verified.add(b"growing", growing)
    growing.standing.tags = frozenset(Tag(f"{number:0128}") for number in range(47))
    verified.reweigh(growing.user_id)
    assert verified.get(b"a") is None
    assert verified.get(b"growing") is growing
    growing.standing.tags = frozenset()
    verified.reweigh(growing.user_id)
    for name in "abcdef":
        verified.add(name.encode(), caller(name))
    assert known(verified, "abcdef") == "abcdef"
    assert verified.get(b"growing") is growing


def test_a_user_is_forgotten_with_all_its_credentials():
    verified = VerifiedCredentials(most_bytes=3_000)
    for digest in (b"1", b"2"):
        verified.add(digest, caller("gone"))
    verified.add(b"a", caller("a"))
    verified.forget(UserId(None, "gone"))
    assert (verified.get(b"1"), verified.get(b"2")) == (None, None)
    for name in "bcde":
        verified.add(name.encode(), caller(name))
    assert known(verified, "abcde") == "abcde"
