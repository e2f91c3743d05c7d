"""Value functions of captions under CLIP: masks of cells and words in, how well they fit out.

The features are the cells of the image, then the words of the caption, in one mask, as Butler et
al. 2025 (MS-COCO) explain CLIP. A masked word is left out: CLIP has no token for what is not there.
Masks are drawn as for any function, each bit as likely 0 as 1; weighting them by how many
cells and words they keep, as FIxLIP (Baniecki et al. 2025) does, is not needed for a spectrum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from spexjax.codes import gf2
from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.clip.captions import Clip
from spexjax.models.clip.config import ClipConfig
from spexjax.models.clip.model import image_vectors, scores, text_vectors
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import MaskableText, Template, bucket, masked_rows, split_text
from spexjax.models.values.devices import rows_for
from spexjax.models.values.image import (
    Cells,
    ImageTemplate,
    MaskableImage,
    MaskedImage,
    composed,
    maskable_image,
)
from spexjax.typing import Array, ArrayLike
from spexjax.values.images import Replacement


@dataclass(eq=False)
class CaptionValue(MaskedImage):
    """f(m): the score of a masked image and a masked caption; made by :func:`caption_value`.

    Attributes:
      model: the model.
      source: the image and its cells, the first features.
      caption: the caption and its words, the others.
      template: the caption's tokens, padded.
      rows: masks per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch, shared by captions of one bucket of lengths.
    """

    model: Clip
    source: MaskableImage
    caption: MaskableText
    template: Template
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """Cells and words."""
        return self.source.n + self.caption.n

    @property
    def words(self) -> Sequence[str]:
        """Names of the cells, then the words."""
        return (*self.source.words, *self.caption.words)

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        return f"{self.model.name}, score of {self.caption.text!r}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model, f"{self.description}: image", image=self.source.template,
            caption=self.template, dtype=str(self.dtype),
        )  # fmt: skip

    @cached_property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        cells = np.int32(self.source.n)
        return self.model.placed, *self.devices.put((self.source.template, self.template, cells))


def caption_value(
    model: Clip,
    image: ArrayLike,
    caption: str,
    cells: Cells = (6, 8),
    replacement: Replacement | UInt8[ArrayLike, "H W 3"] = "blur",
    radius: float | None = None,
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> CaptionValue:
    """The value function of an image and a caption under CLIP.

    Args:
      model: the model.
      image, cells, replacement, radius: what is masked of the image and by what; see
        :func:`~spexjax.models.values.image.maskable_image`.
      caption: whose words are masked, too, by leaving them out.
      dtype: to compute in, float32 or bfloat16.
      rows: masks per device and batch; chosen from the geometry if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``; f(1…1) is the score of the image and the caption.

    Raises:
      ValueError: for a caption without words or longer than the model's positions, or an image
        that cannot be cut so.
    """
    config = model.config
    source = maskable_image(
        image, model.preprocessing, cells, replacement, radius, config.vision.side**2
    )
    text = split_text(caption, model.tokenizer)
    positions = config.text.max_position_embeddings
    if len(text.ids) > positions:
        raise ValueError(
            f"the caption's {len(text.ids)} tokens exceed the model's {positions} positions."
        )
    length = min(bucket(len(text.ids)), positions)
    fill = (0, length - len(text.ids))
    template = Template(
        ids=np.pad(text.ids, fill),
        feature=np.pad(text.feature, fill, constant_values=-2),
        first=np.zeros(length, bool),
        replacement=np.array(0, np.int32),
        pad=np.array(0, np.int32),
        attended=np.array(True),
    )
    if rows is None:
        rows = rows_for(model, (config.vision, config.vision.tokens))
    kind = jnp.dtype(dtype)
    return CaptionValue(
        model, source, text, template, rows, kind, _program(config, kind, model.devices)
    )


@lru_cache(maxsize=32)
def _program(config: ClipConfig, dtype: Any, devices: Devices) -> Callable[..., Array]:
    """One batch: (_, (params, image, caption, number of cells), masks) to values."""

    def run(
        length: int, params: Any, image: ImageTemplate, caption: Template, cells: Array,
        bits: Array,
    ) -> Array:  # fmt: skip
        images = image_vectors(config, params, composed(image, bits), dtype)
        masks = gf2.unpack(bits, 32 * bits.shape[-1])
        # Words follow the cells; what is beyond the last word is no token's feature.
        words = jnp.roll(masks, -cells, axis=1)
        texts = text_vectors(config, params, masked_rows(caption, words).ids, dtype)
        return scores(params, images, texts)

    return devices.compile(run)
