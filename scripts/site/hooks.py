"""What mkdocs.yml leaves to code: the pages that nobody has to list, and links out of the site."""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

SECTIONS: Final = {"Examples": "examples/*/README.md", "Decisions": "docs/adr/*.md"}
REST: Final = ("More", "docs/*.md")
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Add what a section's folder has, and at the end the pages that are nowhere."""
    source = Path(config.docs_dir)
    nav: list[Any] = config.nav
    for section, pattern in SECTIONS.items():
        (pages,) = (entry[section] for entry in nav if section in entry)
        pages += _unlisted(source, pattern, nav)
    name, pattern = REST
    if rest := _unlisted(source, pattern, nav):
        nav.append({name: rest})


def _unlisted(source: Path, pattern: str, nav: list[Any]) -> list[str]:
    found = sorted(str(path.relative_to(source)) for path in source.glob(pattern))
    return [path for path in found if f"'{path}'" not in repr(nav)]


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Leave the text of links to files of the repository that are not part of the site."""
    source = Path(config.docs_dir).resolve()
    repository = Path(config.config_file_path).parent
    folder = Path(page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        target = (source / folder / link[2]).resolve()
        if not target.is_relative_to(source) or target.exists():
            return link[0]
        is_ours = (repository / target.relative_to(source)).exists()
        return link[1] if is_ours else link[0]

    return _LINK.sub(kept, markdown)
