"""Every link of the built site leads somewhere, and nothing is fetched from elsewhere.

Run   python docs/ext/links.py build/docs
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page refers to, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {key: value or "" for key, value in attrs}
        self.places |= {named[key] for key in ("id", "name") if key in named}
        if tag == "a" and "href" in named:
            self.links.add(named["href"])
        elif tag in {"img", "script", "source"} and "src" in named:
            self.fetched.add(named["src"])
        elif tag == "link" and named.get("rel") in {"stylesheet", "icon", "preload"}:
            self.fetched.add(named["href"])


def html(folder: Path) -> list[Path]:
    """Return the pages; what lies under _static is the theme's."""
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


def broken(folder: Path) -> list[str]:
    """Return what is wrong, one line each."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in html(folder)}
    found = []
    for path, page in pages.items():
        here = path.relative_to(folder.resolve())
        for link in sorted(page.links | page.fetched):
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if link in page.fetched:
                    found.append(f"{here}: fetches {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{here}: {link} is not there")
            elif target in pages and unquote(parts.fragment) not in {*pages[target].places, ""}:
                found.append(f"{here}: no place {link}")
    return found


def main(folder: str) -> int:
    """Print what is broken and how many pages there are."""
    lines = broken(Path(folder))
    print("\n".join([*lines, f"{len(html(Path(folder)))} pages, {len(lines)} links broken"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
