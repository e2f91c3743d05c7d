"""The look that all pictures share. Matplotlib is imported when something is drawn."""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spexjax.plot import terms
from spexjax.plot.terms import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

# Blue raises, orange lowers: told apart with any colour vision, and in grey by their labels' signs.
POSITIVE, NEGATIVE = "#1b6ca8", "#c2570c"
INK, MUTED, RULE = "#1f2328", "#6a737d", "#d5dae0"
# Backgrounds of words: pale enough at full strength for dark letters upon them.
POSITIVE_TINT, NEGATIVE_TINT = "#79b4e3", "#f4a261"

FONT = "DejaVu Sans"  # ships with matplotlib
# Writing systems that it lacks, where a common font for them is installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Noto Sans Devanagari", "Noto Emoji",
)  # fmt: skip


@functools.cache
def fonts() -> list[str]:
    """The font of all labels, and those that fill its gaps on this machine."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [FONT, *(name for name in _FALLBACKS if name in installed)]


def colour(value: float, stands: bool = True) -> str:
    """The colour of a value's sign; grey for a set that does not stand."""
    return (POSITIVE if value >= 0 else NEGATIVE) if stands else RULE


def reading(rows: Sequence[Row], fdr: float) -> str:
    """What whiskers and grey mean, where there are any."""
    said = ["whiskers: 95 % intervals"] if any(row.high > row.low for row in rows) else []
    if not all(row.stands for row in rows):
        said.append(f"grey: does not stand (FDR {terms.rate(fdr)})")
    return "".join(f"\n{line}" for line in said)


def bound(rows: Sequence[Row]) -> float:
    """Twice the largest value, where whiskers are cut: beside the longest values would vanish."""
    return 2.0 * max((abs(row.value) for row in rows), default=0.0)


def tips(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """How far each row's bar and whisker reach to either side of 0."""
    end, found = bound(rows), []
    for row in rows:
        points = [0.0, row.value]
        if not math.isnan(row.high):
            points += [min(max(x, -end), end) for x in (row.low, row.high)]
        found.append((min(points), max(points)))
    return found


def whiskers(ax: "Axes", rows: Sequence[Row], upright: bool = False) -> None:
    """The interval of each row, on bars at 0, 1, …; an arrow where it goes on."""
    end = bound(rows)
    for place, row in enumerate(rows):
        if not row.high > row.low:  # exact, or NaN
            continue
        ends = [min(max(x, -end), end) for x in (row.low, row.high)]
        across = [place, place]
        line = (across, ends) if upright else (ends, across)
        ax.plot(*line, color=INK, linewidth=1.1, solid_capstyle="butt")
        for x, true, arrow in zip(
            ends, (row.low, row.high), "v^" if upright else "<>", strict=True
        ):
            marker = "_|"[not upright] if x == true else arrow
            at = ([place], [x]) if upright else ([x], [place])
            ax.plot(*at, marker=marker, color=INK, markersize=4.5, markeredgewidth=1.0)


def tint(value: float, largest: float) -> tuple[float, float, float, float]:
    """The background of a word: transparent at 0, full at ±largest."""
    from matplotlib.colors import to_rgba

    share = min(abs(value) / largest, 1.0) if largest > 0 else 0.0
    return to_rgba(POSITIVE_TINT if value >= 0 else NEGATIVE_TINT, share)


def axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """The axes given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def bare(ax: "Axes") -> None:
    """Axes without frame, ticks and background."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.patch.set_visible(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def quiet_text(text: "Text", size: float, color: str = INK) -> "Text":
    """A label in the shared look; a dollar sign in it is a dollar sign, not mathematics."""
    text.set_parse_math(False)
    text.set_fontfamily(fonts())
    text.set_fontsize(size)
    text.set_color(color)
    return text


def message(ax: "Axes", text: str) -> None:
    """A picture with nothing in it says so."""
    bare(ax)
    shown = ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    quiet_text(shown, 10, MUTED)


def finished(ax: "Axes", show: bool) -> "Axes":
    """Shows the figure if asked to."""
    if show:
        import matplotlib.pyplot as plt

        plt.show()
    return ax
