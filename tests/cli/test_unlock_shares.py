"""`keystead provision`, `unlock` and `config unlock-passphrase` with shares."""

from pathlib import Path

from tests.cli.conftest import ADMIN, Keystead, trusted
from tests.support.server import running_server


def test_an_hsm_with_shares_is_set_up_unlocked_and_gets_other_shares(
    command: Keystead, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    with running_server(tmp_path / "server") as server:
        hsm = trusted(server)
        made = command("provision", "--shares", "2/3", *hsm, KEYSTEAD_ADMIN_PASSPHRASE=ADMIN)
        assert made.status == 0, made.err
        shares = made.out.split()
        assert [share[4:8] for share in shares] == ["-01-", "-02-", "-03-"]
        admin = (*hsm, "--user", "admin")
        credentials = {"KEYSTEAD_PASSPHRASE": ADMIN}
        assert command("lock", "--yes", *admin, **credentials).status == 0
        unlock = ("unlock", "--share", *hsm)
        first = command(*unlock, KEYSTEAD_UNLOCK_PASSPHRASE=shares[2])
        assert (first.status, first.err) == (0, "1 of 2 shares are given.\n")
        last = command(*unlock, KEYSTEAD_UNLOCK_PASSPHRASE=shares[0])
        assert (last.status, last.err) == (0, "The HSM is Operational.\n")
        file = tmp_path / "shares"
        file.write_text("\n".join(shares[:2]) + "\n")
        admin_does = {
            **credentials,
            "KEYSTEAD_CURRENT_PASSPHRASE": "",
            "KEYSTEAD_NEW_PASSPHRASE": ADMIN,
        }
        assert command("config", "backup-passphrase", *admin, **admin_does).status == 0
        add = ("users", "add", "backup", "--role", "Backup")
        assert command(*add, *admin, **admin_does).status == 0
        backup = tmp_path / "nightly.backup"
        by_backup = ("--user", "backup", "-o", backup)
        assert command("backup", *by_backup, *hsm, **credentials).status == 0
        verify = ("backup", "verify", backup, "--json", "--unlock-shares", file)
        opened = command(*verify, KEYSTEAD_BACKUP_PASSPHRASE=ADMIN)
        assert opened.json()["recordsOpened"] > 2, opened.err
        file.write_text(shares[0])
        few = command(*verify, KEYSTEAD_BACKUP_PASSPHRASE=ADMIN)
        assert (few.status, few.err) == (1, "keystead: This takes 2 shares, not 1.\n")
        file.write_text("\n".join(shares[:2]) + "\n")
        change = ("config", "unlock-passphrase", "--current-shares", file, "--shares", "2/2")
        changed = command(*change, "--json", *admin, **credentials)
        assert len(changed.json()["shares"]) == 2, changed.err


def test_what_is_no_number_of_shares_is_refused_with_an_example(command: Keystead) -> None:
    refused = command("provision", "--shares", "3/five")
    assert refused.status == 2
    assert "give two numbers, as 3/5: three of five shares unlock" in refused.err
