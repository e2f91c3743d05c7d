"""The look that all pictures share. Matplotlib is imported when something is drawn."""

import functools
from typing import TYPE_CHECKING

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


def colour(value: float) -> str:
    """The colour of a value's sign."""
    return POSITIVE if value >= 0 else NEGATIVE


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
