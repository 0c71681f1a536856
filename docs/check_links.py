"""Check the built site: every link, anchor and picture within it leads somewhere. Other sites are not asked.

    python -m docs.check_links build/site

mkdocs checks the links that it sees in Markdown; this sees the pages as they are: HTML in them, and what plugins made.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names and refers to."""
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.targets.append(value)


def dead_links(site: Path) -> list[str]:
    """A sentence for each link within the site that leads nowhere."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    found = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = place / "index.html" if place.is_dir() else place
            anchor = unquote(parts.fragment)
            if not place.is_file():
                found.append(f"{path.relative_to(site.resolve())}: {target} is not there.")
            elif anchor and place in pages and anchor not in pages[place].anchors:
                found.append(f"{path.relative_to(site.resolve())}: {target} has no such anchor.")
    return found


def main() -> None:
    (site,) = map(Path, sys.argv[1:])
    found = dead_links(site)
    print("\n".join(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
