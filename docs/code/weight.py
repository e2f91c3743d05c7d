"""How heavy the pages are that a browser fetches."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

MOST = 1_000_000
"""Bytes of a page's HTML, with what is drawn in it, and of the images that it shows."""

_SHOWN = re.compile(r'<img\b[^>]*?\bsrc="([^"#?]+)"')
_INSIDE = re.compile(r'\bsrcdoc="[^"]*"')


def weigh(page: Path, site: Path) -> int:
    """Bytes of a page and of the images of the site that it shows, each once."""
    text = page.read_text(encoding="utf-8")
    size = len(text.encode())
    for source in set(_SHOWN.findall(_INSIDE.sub("", text))):
        if source.startswith(("data:", "http:", "https:")):
            continue
        at = html.unescape(source)
        image = site / at.lstrip("/") if at.startswith("/") else page.parent / at
        size += image.stat().st_size
    return size


def heavy(site: Path, most: int = MOST) -> Iterator[tuple[str, int]]:
    """The pages of a site that weigh more than they may."""
    for page in sorted(site.rglob("*.html")):
        size = weigh(page, site)
        if size > most:
            yield str(page.relative_to(site)), size
