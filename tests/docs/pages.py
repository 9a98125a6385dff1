"""The pages, as the tests read them: the blocks of commands, and what their source says of them.

<!-- not run: it needs a TPM -->        before a block, or a heading for all below it: no
                                        test runs it, and why
<!-- needs: softhsm2-util -->           anywhere: commands without which the page is skipped
<!-- run by: tests/docs/test_x.py -->   anywhere: this test runs the page's commands
"""

import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELLS = ("sh", "bash", "shell", "console")
COMMANDS = """age age-keygen apt apt-get cp curl diff dpkg editor git gpg head helm install
    journalctl keystead keystead-restore-drill kubectl make mv nitropy openssl pip pipx pkcs11-tool
    podman printf python python3 rm softhsm2-util ssh ssh-add ssh-keygen sudo systemctl systemd-run
    tar""".split()  # noqa: SIM905 - easier to read, and to add to
_NOT_RUN = re.compile(r"<!-- not run: *(\S.*?) *-->", re.DOTALL)
_RUN_BY = re.compile(r"^<!-- run by: *(\S+) *-->", re.MULTILINE)
_NEEDS = re.compile(r"^<!-- needs: *(.*?) *-->", re.MULTILINE)


class Block(NamedTuple):
    """A block of code of a page; `reason` is why no test runs it, if the page says so."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def shows_commands(self) -> bool:
        """Whether it is a shell's, or begins with a word that is a command."""
        words = self.text.split()
        return self.language in SHELLS or (
            not self.language and bool(words) and words[0] in COMMANDS
        )

    @property
    def is_to_be_run(self) -> bool:
        return self.language == "sh" and not self.reason


class Section(NamedTuple):
    """What is below a heading that has a reason."""

    level: int
    reason: str


def pages() -> list[Path]:
    """Return every page that shows people commands."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    return sorted([*found, ROOT / "examples/README.md", *ROOT.glob("examples/*/README.md")])


def blocks(page: Path) -> list[Block]:
    found, before, section = [], "", Section(0, "")
    for token in MarkdownIt().parse(page.read_text()):
        marked = _NOT_RUN.search(before)
        reason = marked[1] if marked else ""
        if token.type == "heading_open" and (reason or int(token.tag[1]) <= section.level):
            section = Section(int(token.tag[1]), reason)
        if token.type in ("fence", "code_block"):
            line = token.map[0] + 1 if token.map else 0
            language, text = token.info.strip(), token.content
            found.append(Block(page, line, language, text, reason or section.reason))
        before = token.content if token.type == "html_block" else ""
    return found


def run_by(page: Path) -> Path | None:
    """Return the test that runs the page's commands, if one beside these does."""
    if page.parent.parent == ROOT / "examples":
        return ROOT / f"tests/examples/test_{page.parent.name}.py"
    marked = _RUN_BY.search(page.read_text())
    return ROOT / marked[1] if marked else None


def needs(page: Path) -> list[str]:
    return [tool for tools in _NEEDS.findall(page.read_text()) for tool in tools.split()]
