"""An image and its cells in the page: cells can be pointed at and masked, the image shows it."""

import base64
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

_LONGEST = 768
"""Pixels of the longer side in a page; larger images are scaled down."""
_LOSSLESS = 1 << 16  # pixels up to which an image is stored exactly


class Picture(NamedTuple):
    """What of an explanation can be seen.

    Attributes:
      image: 8-bit colours.
      replaced: the same with all cells replaced.
      cells: the cell of each pixel. Features beyond the cells, such as a caption's words, are
        listed below the image.
    """

    image: UInt8[np.ndarray, "H W 3"]
    replaced: UInt8[np.ndarray, "H W 3"]
    cells: Int[np.ndarray, "H W"]


def checked(picture: Picture, n: int) -> Picture:
    """The picture, if it fits n features.

    Raises:
      ValueError: if shapes do not fit together or there are more cells than features.
    """
    image, other, cells = (np.asarray(part) for part in picture)
    if image.ndim != 3 or image.shape[-1] != 3 or other.shape != image.shape:
        raise ValueError(
            f"image and replaced must be (H, W, 3), got {image.shape} and {other.shape}."
        )
    if image.dtype != np.uint8 or other.dtype != np.uint8:
        raise ValueError(f"image must be uint8, got {image.dtype} and {other.dtype}.")
    if cells.shape != image.shape[:2] or not np.issubdtype(cells.dtype, np.integer):
        raise ValueError(f"cells must be integers of shape {image.shape[:2]}, got {cells.shape}.")
    if cells.min() < 0 or cells.max() >= n:
        raise ValueError(f"cells must be 0 to {n - 1}, got {cells.min()} to {cells.max()}.")
    return Picture(image, other, cells)


def drawn(picture: Picture, alone: Float[np.ndarray, "n"], names: Sequence[str]) -> str:
    """The image as inline SVG, a button for each cell, its replacement above it once masked.

    Args:
      picture: as :func:`checked` gives it.
      alone: the value of each feature alone, for the tint.
      names: of the features.
    """
    small = _scaled(picture)
    H, W = small.cells.shape
    largest = float(np.abs(alone).max()) or 1.0
    kind = "photo" if max(H, W) > 200 else "photo coarse"
    out = [
        f'<svg class="{kind}" viewBox="0 0 {W} {H}" role=group aria-label="The image">',
        f'<defs><image id=replaced width={W} height={H} href="{_stored(small.replaced)}"/>',
    ]
    shapes = outlines(small.cells)
    out += [f'<clipPath id=cell-{i}><path d="{shape}"/></clipPath>' for i, shape in shapes.items()]
    out.append(f'</defs><image width={W} height={H} href="{_stored(small.image)}"/>')
    for i, shape in shapes.items():
        sign = "p" if alone[i] >= 0 else "m"
        strength = round(abs(float(alone[i])) / largest, 3)
        out.append(
            f'<use href="#replaced" clip-path="url(#cell-{i})"/>'
            f'<path class="w {sign}" data-i={i} style="--a:{strength:g}" role=button tabindex=-1 '
            f'aria-pressed=false aria-label="{html.escape(names[i])}" d="{shape}"/>'
        )
    return "".join([*out, "</svg>"])


def outlines(cells: Int[np.ndarray, "H W"]) -> dict[int, str]:
    """The boundary of each cell as an SVG path, in pixels."""
    from scipy.ndimage import find_objects

    found = {}
    for i, box in enumerate(find_objects(cells.astype(np.int32) + 1)):
        if box is not None:
            found[i] = _traced(cells[box] == i, box[1].start, box[0].start)
    return found


def _traced(inside: Bool[np.ndarray, "h w"], left: int, top: int) -> str:
    """Closed loops along the pixels' edges, the inside on the right."""
    padded = np.pad(inside, 1)
    ends: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # The neighbour that must be outside, and the edge towards it: from, to.
    sides = (((-1, 0), (0, 0), (1, 0)), ((0, 1), (1, 0), (1, 1)),
             ((1, 0), (1, 1), (0, 1)), ((0, -1), (0, 1), (0, 0)))  # fmt: skip
    H, W = inside.shape
    for (dy, dx), start, end in sides:
        beyond = padded[1 + dy : 1 + dy + H, 1 + dx : 1 + dx + W]
        for y, x in np.argwhere(inside & ~beyond).tolist():
            ends.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while ends:
        first = next(iter(ends))
        at, corners, before = first, [first], None
        while at in ends:
            to = ends[at].pop()
            if not ends[at]:
                del ends[at]
            step = (to[0] - at[0], to[1] - at[1])
            if step == before:
                corners[-1] = to
            else:
                corners.append(to)
            at, before = to, step
        loops.append("M" + "L".join(f"{left + x} {top + y}" for x, y in corners[:-1]) + "Z")
    return "".join(loops)


def _scaled(picture: Picture) -> Picture:
    from PIL import Image

    H, W = picture.cells.shape
    share = _LONGEST / max(H, W)
    if share >= 1:
        return picture
    size = (max(round(W * share), 1), max(round(H * share), 1))
    image, other = (
        np.asarray(Image.fromarray(part).resize(size, Image.Resampling.LANCZOS))
        for part in picture[:2]
    )
    cells = Image.fromarray(picture.cells.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    return Picture(image, other, np.asarray(cells))


def _stored(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """An image as a data URI: exact where it is small."""
    from PIL import Image

    kind = "PNG" if image.shape[0] * image.shape[1] <= _LOSSLESS else "JPEG"
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {}))
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{data}"
