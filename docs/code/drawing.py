"""How blocks of the pages show what they made."""

import html
import io
import itertools
import re

from matplotlib.figure import Figure

_count = itertools.count()


def svg(drawn) -> str:
    """A figure, or the figure of axes, as part of a page; ids are made distinct."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' d="[^"]*"|translate\([^)]*\)', _shortened, text)
    here = f"f{next(_count)}-"
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{here}", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    return f'<div class="picture">{text}</div>'


def _shortened(path: re.Match) -> str:
    """A path, or where a letter stands, to a hundredth of a point."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", path[0])


def frame(page: str, height: int, title: str) -> str:
    """A whole page inside a page."""
    return (
        f'<iframe class="page-frame" loading="lazy" title="{html.escape(title)}" '
        f'style="height:{height}px" srcdoc="{html.escape(page)}"></iframe>'
    )
