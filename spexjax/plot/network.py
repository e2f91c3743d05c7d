"""Pairs as a network: features on a circle in their order, a chord for each pair."""

import math
from typing import TYPE_CHECKING

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.typing import Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOSE = 40  # features beyond which those without a pair are left out


def network(
    e: Explained | Interactions,
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 25,
    fdr: float = 0.1,
) -> "Axes":
    """Features and the strongest pairs among them.

    A dot's area and colour are the feature's own value, a chord's width and colour the pair's.
    Pairs that do not stand (:meth:`~spexjax.indices.Interactions.stands`) are dashed and grey,
    features grey.
    Dots stand clockwise in the features' order, from the top; with many features only those that
    have a pair in the picture are there.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      ax: where to draw; a new figure if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many pairs.
      fdr: the false discovery rate at which sets stand.

    Returns:
      The axes.

    Raises:
      ValueError: if the function has several outputs; pass ``e[i]``.
    """
    values = terms.of_one_output(e, index, max_order)
    ax = style.axes(ax, 6.0, 6.0)
    draw(values, ax, top, fdr)
    return style.finished(ax, show)


def draw(values: Interactions, ax: "Axes", top: int, fdr: float) -> None:
    """:func:`network` of interactions, into axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    strongest_pairs = values.order(2).top(top)
    pairs = list(zip(strongest_pairs, terms.standing(strongest_pairs, fdr), strict=True))
    if not pairs:
        style.message(ax, "no pair has a value")
        return
    paired = sorted({i for (members, _), _ in pairs for i in members})
    shown = list(range(values.n)) if values.n <= min(_LOOSE, 2 * len(paired)) else paired
    turn = {i: math.tau * place / len(shown) for place, i in enumerate(shown)}
    spot = {i: (math.sin(a), math.cos(a)) for i, a in turn.items()}

    strongest = abs(strongest_pairs.values[0])
    for ((i, j), value), stands in reversed(pairs):
        share = abs(value) / strongest
        # Bent towards the centre, the more the further apart, so that neighbours' chords stay out.
        bend = 0.25 + 0.6 * abs(math.sin((turn[i] - turn[j]) / 2))
        (x, y), (u, v) = spot[i], spot[j]
        middle = ((x + u) / 2 * (1 - bend), (y + v) / 2 * (1 - bend))
        curve = Path([(x, y), middle, (u, v)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        ax.add_patch(
            PathPatch(
                curve,
                fill=False,
                edgecolor=style.colour(value) if stands else style.MUTED,
                linestyle="-" if stands else (0, (2.5, 1.5)),
                linewidth=0.7 + 4.8 * share,
                alpha=0.3 + 0.6 * share,
                capstyle="round" if stands else "butt",
            )
        )

    alone, names = values.to_array(), terms.labels(values.shown, 18)
    sure = set(np.flatnonzero(terms.alone(values, fdr)).tolist())
    largest = max(abs(alone[i]) for i in shown) or 1.0
    size = 9.5 if len(shown) <= 24 else 8.5 if len(shown) <= 36 else 7.5
    for i in shown:
        x, y = spot[i]
        ax.scatter(
            [x], [y], s=14 + 190 * abs(alone[i]) / largest,
            color=style.colour(alone[i], i in sure), zorder=3, edgecolor="none",
        )  # fmt: skip
        degrees = 90 - math.degrees(turn[i])
        left = x < -1e-9
        label = ax.annotate(
            names[i], (1.09 * x, 1.09 * y), rotation=degrees + 180 * left, va="center",
            ha="right" if left else "left", rotation_mode="anchor", annotation_clip=False,
        )  # fmt: skip
        style.quiet_text(label, size, style.INK)
    style.bare(ax)
    ax.set_aspect("equal")
    box = ax.get_window_extent()
    radius = min(box.width, box.height) / 2 * 72 / ax.figure.dpi
    # The circle has radius 1; a label takes its share of the half-width of the axes, in points.
    longest = 0.54 * size * max(len(names[i]) for i in shown) / radius
    reach = 1.14 / (1 - min(longest, 0.6))
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    heading = f"{values.index}, {_count(len(pairs))}: blue +, orange {terms.MINUS}"
    if not all(stands for _, stands in pairs):
        heading += f"\ndashed, grey: does not stand (FDR {terms.rate(fdr)})"
    style.quiet_text(ax.set_title(heading, loc="left"), 9.5, style.MUTED)


def _count(pairs: int) -> str:
    return "the one pair" if pairs == 1 else f"the {pairs} strongest pairs"
