"""Components of a model as a grid of layers, sets of them as arcs."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.typing import Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME = re.compile(r"L(\d+)(?: (MLP|[A-Z@]\d+))?")
_WIDEST = 64


def components(
    e: Explained | Interactions,
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 15,
    fdr: float = 0.1,
) -> "Axes":
    """Heads, MLPs or other components of a transformer, layer by layer, and sets among them.

    Each component is a square in the row of its layer, coloured by its own value; the strongest
    sets of two or more are arcs through their members, their width and colour the set's. Sets that
    do not stand (:meth:`~spexjax.indices.Interactions.stands`) are dashed and grey, components
    grey. Components that are no features are not there.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are. Their features
        are called as ``component_value`` does: "L2 H5" (head 5 of layer 2), "L2 MLP", "L2".
      ax: where to draw; a new figure if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many sets.
      fdr: the false discovery rate at which sets stand.

    Returns:
      The axes.

    Raises:
      ValueError: if the function has several outputs; pass ``e[i]``. Or if a feature is not called
        like a component.
    """
    values = terms.of_one_output(e, index, max_order)
    spots, columns = places(values.features)
    ax = style.axes(ax, *size(spots, columns))
    draw(values, spots, columns, ax, top, fdr)
    return style.finished(ax, show)


def places(features: Sequence[str]) -> tuple[list[tuple[int, int]], list[str]]:
    """The column and the layer of each component, and the names of the columns.

    Components of a kind stand in the column of their number; where that would take more than 64
    columns, side by side.

    Raises:
      ValueError: if a feature is not called like a component.
    """
    read = []
    for name in features:
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is no component such as 'L2 H5', 'L2 MLP' or 'L2'.")
        read.append((int(found[1]), found[2] or "layer"))
    kinds = sorted({kind for _, kind in read}, key=_order)
    if len(kinds) > _WIDEST:
        spots, count = [], dict.fromkeys({layer for layer, _ in read}, 0)
        for layer, _ in read:
            spots.append((count[layer], layer))
            count[layer] += 1
        return spots, [""] * max(count.values())
    return [(kinds.index(kind), layer) for layer, kind in read], kinds


def _order(kind: str) -> tuple[int, str, int]:
    """Numbered ones first, by letter and number; then MLPs and layers."""
    if kind in ("MLP", "layer"):
        return 1, kind, 0
    return 0, kind[0], int(kind[1:])


def size(spots: Sequence[tuple[int, int]], columns: Sequence[str]) -> tuple[float, float]:
    """Width and height of the picture, in inches."""
    layers = [layer for _, layer in spots]
    rows = max(layers) - min(layers) + 1
    return min(3.0 + 0.42 * len(columns), 14.0), min(1.6 + 0.55 * rows, 14.0)


def draw(
    values: Interactions,
    spots: Sequence[tuple[int, int]],
    columns: Sequence[str],
    ax: "Axes",
    top: int,
    fdr: float,
) -> None:
    """The grid of :func:`components` and the ``top`` strongest sets on axes."""
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path

    alone = values.to_array()
    sure = set(np.flatnonzero(terms.alone(values, fdr)).tolist())
    largest = float(np.max(np.abs(alone), initial=0.0))
    for i, (x, y) in enumerate(spots):
        shade = style.tint(alone[i], largest) if i in sure else "none"
        ax.add_patch(Rectangle((x - 0.4, y - 0.4), 0.8, 0.8, facecolor=shade, edgecolor=style.RULE))
    sets = terms.several(values, top)
    marks = terms.standing(sets, fdr)
    strongest = float(np.max(np.abs(sets.values), initial=0.0))
    drawn = list(zip(sets, marks, strict=True))
    for (members, value), stands in reversed(drawn):
        share = abs(value) / strongest
        at = sorted((spots[i] for i in members), key=lambda spot: (spot[1], spot[0]))
        points, codes = [at[0]], [Path.MOVETO]
        for (x, y), (u, v) in itertools.pairwise(at):
            # Bent to the side, so that an arc along a row or a column passes what lies between.
            bend = 0.35 if y == v else 0.18
            middle = ((x + u) / 2 + bend * (y - v), (y + v) / 2 + bend * (u - x))
            points += [middle, (u, v)]
            codes += [Path.CURVE3, Path.CURVE3]
        colour = style.colour(value) if stands else style.MUTED
        ax.add_patch(
            PathPatch(
                Path(points, codes), fill=False, edgecolor=colour, capstyle="butt",
                linestyle="-" if stands else (0, (2.5, 1.5)), linewidth=0.7 + 3.6 * share,
                alpha=0.35 + 0.55 * share,
            )
        )  # fmt: skip
        ax.plot(*zip(*at, strict=True), "o", markersize=2.5 + 2.5 * share, color=colour)
    style.bare(ax)
    layers = sorted({layer for _, layer in spots})
    step = -(-len(layers) // 24)
    ax.set_yticks(layers[::step], [f"layer {layer}" for layer in layers[::step]])
    wide = -(-len(columns) // 32)
    shown = [i for i in range(len(columns)) if i % wide == 0 or not columns[i][1:].isdecimal()]
    ax.set_xticks(shown, [columns[i] for i in shown])
    ax.tick_params(length=0)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        style.quiet_text(label, 8.5)
    ax.set_xlim(-0.8, len(columns) - 0.2)
    ax.set_ylim(layers[0] - 0.8, layers[-1] + 0.8)
    ax.set_aspect("equal")
    heading = f"{values.index}: blue +, orange {terms.MINUS}"
    heading += f"; arcs: {len(drawn)} strongest sets" if drawn else "; no set has a value"
    if not all(marks):
        heading += f"\ndashed, grey: does not stand (FDR {terms.rate(fdr)})"
    style.quiet_text(ax.set_title(heading, loc="left"), 9.5, style.MUTED)
