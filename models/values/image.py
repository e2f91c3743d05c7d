"""Images whose cells can be masked: cells on the host, masks to images on devices.

An image is cut into cells where it is as it was taken; the image, the same with all cells
replaced, and the map of cells go through the model's preprocessing and to the devices once. Masks
travel as bits, and each batch of masked images is composed there. With all cells kept that is the
preprocessed image itself.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt32

from spexjax.codes import gf2
from spexjax.models.values.batching import BatchedValue
from spexjax.models.vit.preprocessing import Preprocessing
from spexjax.models.vit.reading import rgb
from spexjax.typing import Array, ArrayLike
from spexjax.values.images import Replacement, grid_cells, numbered_cells, replaced_image

Cells = tuple[int, int] | Int[ArrayLike, "H W"]
"""Rows and columns of a grid, or the segment of each pixel."""

BLUR = 0.2
"""Standard deviation of the blur as a share of the longer side: about the 100 pixels that Kang et
al. 2025 (appendix B) blur photographs by."""


class ImageTemplate(NamedTuple):
    """What turns masks into images.

    Attributes:
      image: the preprocessed image.
      replaced: the same with all cells replaced.
      cells: the cell of each pixel; −1 for padding, which is never masked.
    """

    image: Float[ArrayLike, "H W channels"]
    replaced: Float[ArrayLike, "H W channels"]
    cells: Int[ArrayLike, "H W"]


@dataclass(frozen=True, eq=False)
class MaskableImage:
    """An image and its cells.

    Attributes:
      image: as it was given, 8-bit colours.
      other: the same with all cells replaced.
      cells: the cell of each of its pixels, 0 to n − 1.
      grid: rows and columns, None for segments.
      template: both as the model sees them.
    """

    image: UInt8[np.ndarray, "H W 3"]
    other: UInt8[np.ndarray, "H W 3"]
    cells: Int[np.ndarray, "H W"]
    grid: tuple[int, int] | None
    template: ImageTemplate

    @property
    def n(self) -> int:
        """The number of cells."""
        return int(self.cells.max()) + 1

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Names of the cells: row and column from 1, or the segment's number from 1."""
        if self.grid is None:
            return tuple(f"segment {i + 1}" for i in range(self.n))
        rows, cols = self.grid
        return tuple(f"r{r + 1}c{c + 1}" for r in range(rows) for c in range(cols))


def maskable_image(
    image: ArrayLike,
    preprocessing: Preprocessing,
    cells: Cells,
    replacement: Replacement | UInt8[ArrayLike, "H W 3"] = "blur",
    radius: float | None = None,
    patches: int | None = None,
) -> MaskableImage:
    """Cuts an image into cells.

    Args:
      image: (H, W) or (H, W, 1 to 4); see :func:`~spexjax.models.vit.reading.rgb`.
      preprocessing: the model's.
      cells: (rows, columns) of a grid, or the segment of each pixel, such as
        :func:`superpixels` finds.
      replacement: what a masked cell shows: "blur", "mean" (its own mean colour), "black", or
        another image of the same size.
      radius: standard deviation of the blur in pixels of the image; a fifth of its longer side if
        not given.
      patches: how many the model tells apart; more cells than that get a warning.

    Raises:
      ValueError: if the image is not one, has fewer pixels than cells, or the replacement is
        unknown or of another size.
    """
    pixels = rgb(np.asarray(image))
    H, W = pixels.shape[:2]
    grid = None
    if isinstance(cells, tuple):
        if len(cells) != 2:
            raise ValueError(f"cells must be (rows, columns) or a map of segments, got {cells}.")
        grid = (int(cells[0]), int(cells[1]))
        labels = grid_cells(H, W, *grid)
    else:
        labels = numbered_cells(cells, (H, W))
    if not isinstance(replacement, str):
        replacement = rgb(np.asarray(replacement))
    sigma = BLUR * max(H, W) if radius is None else radius
    other = replaced_image(pixels, labels, replacement, sigma)
    placed = preprocessing.placed(labels)
    template = ImageTemplate(preprocessing(pixels), preprocessing(other), placed)
    found = MaskableImage(pixels, other, labels, grid, template)
    lost = found.n - len(np.unique(placed[placed >= 0]))
    if lost:
        _warn(f"{lost} of {found.n} cells are not in what the model sees and have no influence.")
    if patches is not None and found.n > patches:
        _warn(f"{found.n} cells are more than the {patches} patches that the model tells apart.")
    return found


def superpixels(
    image: UInt8[ArrayLike, "H W 3"], count: int, compactness: float = 10.0
) -> Int[np.ndarray, "H W"]:
    """About ``count`` segments of an image by SLIC (Achanta et al. 2012), scikit-image's.

    Raises:
      ImportError: if scikit-image is not there.
    """
    from skimage.segmentation import slic

    return np.asarray(slic(np.asarray(image), count, compactness, start_label=0), np.int32)


def composed(template: ImageTemplate, bits: UInt32[Array, "N W"]) -> Float[Array, "N H W channels"]:
    """The image under each mask; a 1 keeps a cell.

    Args:
      template: the image.
      bits: masks, packed little-endian.
    """
    cells = jnp.asarray(template.cells)
    masks = gf2.unpack(bits, 32 * bits.shape[-1])
    kept = jnp.take(masks, jnp.maximum(cells, 0), axis=1) | (cells < 0)
    return jnp.where(kept[..., None], jnp.asarray(template.image), jnp.asarray(template.replaced))


class MaskedImage(BatchedValue):
    """A value function whose features are cells of an image.

    Attributes:
      source: the image and its cells.
      dtype: computed in.
    """

    source: MaskableImage
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """The number of features."""
        return self.source.n

    @property
    def words(self) -> Sequence[str]:
        """Names of the features."""
        return self.source.words

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        raise NotImplementedError

    @property
    def longest(self) -> int:
        """Every masked image is as long as the others."""
        return 1

    def lengths(self, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
        """The same for all."""
        return np.ones(len(masks), np.int64)

    def sent(self, masks: Bool[np.ndarray, "count n"]) -> UInt32[np.ndarray, "count W"]:
        """Masks as they travel to the devices: as bits."""
        return gf2.pack_numpy(masks, gf2.num_words(self.n))


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)
