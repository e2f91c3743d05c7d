"""The image itself: cells tinted by their own values, sets of them outlined and joined by bows."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, Num

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.typing import ArrayLike, Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 0.01  # of the strongest: weaker sets are not drawn
_TINT = 0.55  # the strongest tint: the image must be seen through it
_ROUND = {"boxstyle": "circle,pad=0.15", "fc": "white"}
_ENTRY = 0.22  # inches of a line of the key


def image(
    e: Explained | Interactions,
    picture: Num[ArrayLike, "H W *channels"],
    cells: Int[ArrayLike, "H W"] | tuple[int, int],
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 5,
    fdr: float = 0.1,
    doubtful: bool = False,
) -> "Axes":
    """An image whose cells were masked.

    A cell's tint is its own value, blue raises and orange lowers. Each of the strongest sets of
    two or more is drawn as its cells' outlines, joined from one to the next by a bow that bears
    its number; the key below names them. Features beyond the cells, such as a caption's words,
    are named in the key only. Only what stands (:meth:`~spexjax.indices.Interactions.stands`) is
    tinted or drawn, unless nothing is known of errors.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      picture: what matplotlib's ``imshow`` takes; the image that was explained.
      cells: the feature of each pixel, or rows and columns of a grid.
      ax: where to draw; a new figure if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many sets are drawn.
      fdr: the false discovery rate at which sets stand.
      doubtful: show what does not stand like the rest.

    Returns:
      The axes.

    Raises:
      ValueError: if the function has several outputs (pass ``e[i]``), or the cells do not fit the
        image or the features.
    """
    values = terms.of_one_output(e, index, max_order)
    pixels = np.asarray(picture)
    labels = _labels(cells, pixels.shape[:2], values.n)
    if not doubtful:
        values = values[terms.standing(values, fdr)]
    sets = list(terms.several(values, top))
    sets = [s for s in sets if abs(s[1]) >= _LEAST * abs(sets[0][1])]
    H, W = labels.shape
    if ax is None:
        wide = min(6.4, 6.4 * W / H)
        ax = style.axes(None, max(wide, 4.0), wide * H / W + 0.35 + _ENTRY * len(sets))
    style.bare(ax)
    ax.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, interpolation="nearest",
              extent=(0, W, H, 0))  # fmt: skip
    _tint(ax, labels, values.to_array())
    digits = terms.decimals(value for _, value in sets)
    names = terms.labels(values.shown)
    lines = []
    for rank, (members, value) in reversed(list(enumerate(sets, 1))):
        _set(ax, labels, members, value / abs(sets[0][1]), rank)
        line = f"{rank}  {terms.signed(value, digits)}  {terms.joined(members, names)}"
        lines.append((rank, terms.cut(line, 70), value))
    for rank, line, value in lines:
        made = ax.annotate(
            line, (0, 0), (0, -4 - 72 * _ENTRY * (rank - 0.2)), xycoords="axes fraction",
            textcoords="offset points", annotation_clip=False, va="baseline",
        )  # fmt: skip
        style.quiet_text(made, 9.5, style.colour(value))
    ax.set_xlim(0, W)
    ax.set_ylim(H, 0)
    ax.set_aspect("equal")
    heading = f"{values.index}: blue +, orange {terms.MINUS}"
    style.quiet_text(ax.set_title(heading, loc="left"), 9.5, style.MUTED)
    return style.finished(ax, show)


def _labels(
    cells: Int[ArrayLike, "H W"] | tuple[int, int], shape: tuple[int, ...], n: int
) -> np.ndarray:
    if isinstance(cells, tuple):
        H, W = shape
        rows, cols = cells
        labels = (np.arange(H) * rows // H)[:, None] * cols + np.arange(W) * cols // W
    else:
        labels = np.asarray(cells)
    if labels.shape != tuple(shape) or labels.min() < 0 or labels.max() >= n:
        raise ValueError(
            f"cells must be of the image's shape {tuple(shape)} and from 0 to {n - 1}, got "
            f"{labels.shape}, {labels.min()} to {labels.max()}."
        )
    return labels


def _tint(ax: "Axes", labels: np.ndarray, alone: np.ndarray) -> None:
    """Colours over the cells, and thin lines between them."""
    largest = float(np.abs(alone).max())
    H, W = labels.shape
    tints = np.array([style.tint(v, largest) for v in alone])
    tints[:, 3] *= _TINT
    ax.imshow(tints[labels], interpolation="nearest", extent=(0, W, H, 0))
    ys, xs = np.nonzero(labels[:, 1:] != labels[:, :-1])
    across = [((x + 1, y), (x + 1, y + 1)) for y, x in zip(ys, xs, strict=True)]
    ys, xs = np.nonzero(labels[1:] != labels[:-1])
    along = [((x, y + 1), (x + 1, y + 1)) for y, x in zip(ys, xs, strict=True)]
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(across + along, colors=(1, 1, 1, 0.4), linewidths=0.6))


def _set(ax: "Axes", labels: np.ndarray, members: tuple[int, ...], share: float, rank: int) -> None:
    from matplotlib.patches import FancyArrowPatch

    colour, width = style.colour(share), 1.2 + 2.0 * abs(share)
    middles = []
    for i in members:
        inside = labels == i
        if not inside.any():
            continue
        ys, xs = np.nonzero(inside)
        middles.append((xs.mean() + 0.5, ys.mean() + 0.5))
        padded = np.pad(inside, 1).astype(float)
        H, W = labels.shape
        # Just inside the cell, so that outlines of neighbours stay apart.
        level = 0.5 + 0.08 * (rank % 4)
        ax.contour(np.arange(W + 2) - 0.5, np.arange(H + 2) - 0.5, padded, [level],
                   colors=[colour], linewidths=[width])  # fmt: skip
    for start, end in pairwise(middles):
        for wide, what, alpha in ((width + 2, "#ffffff", 0.7), (width, colour, 1.0)):
            ax.add_patch(FancyArrowPatch(
                start, end, connectionstyle="arc3,rad=0.18", arrowstyle="-", color=what,
                linewidth=wide, alpha=alpha, shrinkA=0, shrinkB=0, capstyle="round", zorder=3,
            ))  # fmt: skip
        x, y = (np.array(start) + end) / 2
        off = 0.09 * math.dist(start, end)
        turn = math.atan2(end[1] - start[1], end[0] - start[0])
        label = ax.text(x - off * math.sin(turn), y + off * math.cos(turn), str(rank), zorder=4,
                        ha="center", va="center", bbox=_ROUND | {"ec": colour})  # fmt: skip
        style.quiet_text(label, 8, colour)
