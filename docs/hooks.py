"""Makes one site of the pages in docs/ and of those that lie elsewhere in the repository; each has one source.

A page links to others as they lie in the repository. The same links then work in a checkout and in the site: those that
lead to a page of the site are turned to its place there, those that lead to any other file of the repository become
plain text. A link that leads nowhere is left, and the strict build fails.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    **{f"dsrwizard/pages/{page.name}": f"causes/{page.name}" for page in (ROOT / "dsrwizard/pages").glob("*.md")},
    **{f"tests/pictures/{each.name}": f"pictures/{each.name}" for each in (ROOT / "tests/pictures").glob("*.svg")},
}
"""Place in the repository, place in the site."""
_LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get the anchors that they have on GitHub."""
    config.mdx_configs["toc"] = {"permalink": True, "slugify": slugify(case="lower")}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Takes in the pages and pictures that lie outside docs/."""
    for source, place in ELSEWHERE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between places in the repository into links between places in the site."""
    place = page.file.src_uri
    source = next((there for there, here in ELSEWHERE.items() if here == place), f"docs/{place}")

    def turned(link: re.Match[str]) -> str:
        if "://" in link["path"]:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        in_site = ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if in_site is None:
            return link["text"] if (ROOT / target).exists() else link[0]
        path = posixpath.relpath(in_site, posixpath.dirname(place) or ".")
        return f"{link['mark']}[{link['text']}]({path}{link['anchor'] or ''})"

    return _LINK.sub(turned, markdown)
