"""Pictures as inline SVG whose colours are those of the page around them."""

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms

# The functions of these names hide the modules as attributes of the package.
from spexjax.plot.bar import draw as draw_bar
from spexjax.plot.bar import size as bar_size
from spexjax.plot.components import draw as draw_components
from spexjax.plot.components import places
from spexjax.plot.components import size as components_size
from spexjax.plot.network import draw as draw_network
from spexjax.plot.upset import draw as draw_upset
from spexjax.plot.upset import size as upset_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS, _PAIRS, _ARCS, _COLUMNS = 15, 20, 15, 10
_READABLE = 16  # columns of a grid on a phone
_THEME = {
    style.POSITIVE: "positive",
    style.NEGATIVE: "negative",
    style.INK: "ink",
    style.MUTED: "muted",
    style.RULE: "rule",
}


def figures(values: Interactions, fdr: float) -> str:
    """The bars, the network and the UpSet picture of interactions, each in a ``figure`` element.

    What would be empty is left out. Components of a transformer stand in their layers instead of a
    network, if there is room for them.
    """
    # Narrower than alone on a page, so that their letters can be read on a phone.
    (wide, high), columns = bar_size(values, _BARS), upset_size(values, _COLUMNS)
    wanted: list[tuple[str, Callable[..., None], int, tuple[float, float]]] = [
        ("The strongest sets as bars", draw_bar, _BARS, (wide - 0.9, high))
    ]
    try:
        spots, names = places(values.features)
    except ValueError:
        spots, names = [], []
    if 0 < len(names) <= _READABLE:

        def draw_grid(values: Interactions, axes: "Axes", top: int, fdr: float) -> None:
            draw_components(values, spots, names, axes, top, fdr)

        size = components_size(spots, names)
        wanted.append(("Components by layer", draw_grid, _ARCS, (max(size[0] - 0.6, 4.0), size[1])))
    elif not spots and len(values.order(2)):
        wanted.append(("Pairs as a network", draw_network, _PAIRS, (4.6, 4.6)))
    if len(terms.several(values, 1)):
        wanted.append(("Sets of two or more", draw_upset, _COLUMNS, (5.0, columns[1])))
    out = []
    for label, draw, top, size in wanted:
        with _drawing(size, label) as (axes, svg):
            draw(values, axes, top, fdr)
        out.append(f'<figure role=img aria-label="{label}">{svg[0]}</figure>')
    return "".join(out)


@contextlib.contextmanager
def _drawing(size: tuple[float, float], salt: str) -> Iterator[tuple["Axes", list[str]]]:
    """Axes to draw on, and a list that afterwards holds the picture as inline SVG.

    Its colours are the page's, so that it follows the dark mode.
    """
    import matplotlib
    from matplotlib.figure import Figure

    svg: list[str] = []
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": salt}
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        # The browser draws the letters: no matter which of them a font here lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = Figure(figsize=size, layout="constrained")
        yield figure.add_subplot(), svg
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    drawn = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn[drawn.index("<svg") :], flags=re.S
    )
    used = set(re.findall(r"#(\w+)", drawn))
    # Within tags only: a label may say anything, but its "<" and ">" are escaped.
    svg.append(re.sub(r"<[^<>]*>", lambda tag: _themed(tag[0], used), drawn))


def _themed(tag: str, used: set[str]) -> str:
    """A tag with the page's colours for the pictures', and without its id unless it is used."""
    for colour, name in _THEME.items():
        tag = tag.replace(colour, f"var(--{name})")
    tag = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", tag)
    return re.sub(r"\s+", " ", tag)
