"""Value functions of images under classifiers: masks of cells in, a class's score out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.nn.devices import Devices
from spexjax.models.values.devices import rows_for
from spexjax.models.values.image import (
    Cells,
    ImageTemplate,
    MaskableImage,
    MaskedImage,
    composed,
    maskable_image,
)
from spexjax.models.values.scores import Score, score
from spexjax.models.vit.classifier import ImageClassifier
from spexjax.models.vit.config import VitConfig
from spexjax.models.vit.model import Vit
from spexjax.typing import Array, ArrayLike
from spexjax.values.images import Replacement


@dataclass(eq=False)
class ImageClassValue(MaskedImage):
    """f(m): the score of one image under a classifier; made by :func:`image_value`.

    Attributes:
      model: the classifier.
      source: the image and its cells.
      label: the class that a score is of.
      kind: what the value is.
      rows: masks per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch.
    """

    model: ImageClassifier
    source: MaskableImage
    label: int
    kind: Score
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        if self.kind == "logits":
            return f"{self.model.name}, logits"
        return f"{self.model.name}, {self.kind} of {self.model.label_names[self.label]}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model, f"{self.description}: image", template=self.source.template,
            label=self.label, kind=self.kind, dtype=str(self.dtype),
        )  # fmt: skip

    @cached_property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        rest = self.devices.put((self.source.template, np.int32(self.label)))
        return self.model.placed, *rest


def image_value(
    model: ImageClassifier,
    image: ArrayLike,
    cells: Cells = (6, 8),
    label: int | None = None,
    score: Score = "logit",
    replacement: Replacement | UInt8[ArrayLike, "H W 3"] = "blur",
    radius: float | None = None,
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> ImageClassValue:
    """The value function of an image under a classifier.

    Args:
      model: the classifier.
      image, cells, replacement, radius: what is masked and by what; see
        :func:`~spexjax.models.values.image.maskable_image`.
      label: the class whose score is the value; the one predicted for the image if not given.
      score: "logit", "log-odds", "probability" or "margin" of that class; or "logits", a vector.
      dtype: to compute in, float32 or bfloat16.
      rows: masks per device and batch; chosen from the geometry if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``; f(1…1) is the score of the image itself.

    Raises:
      ValueError: for a label out of range, an unknown option, or an image that cannot be cut so.
    """
    if score not in get_args(Score):
        raise ValueError(f"score must be one of {get_args(Score)}, got {score!r}.")
    config = model.config
    source = maskable_image(image, model.preprocessing, cells, replacement, radius, config.side**2)
    label = int(np.argmax(model.logits(source.image))) if label is None else label
    if not 0 <= label < config.num_labels:
        raise ValueError(f"label must be 0 to {config.num_labels - 1}, got {label}.")
    if rows is None:
        rows = rows_for(model, (config, config.tokens))
    kind = jnp.dtype(dtype)
    return ImageClassValue(
        model, source, label, score, rows, kind, _program(config, kind, score, model.devices)
    )


@lru_cache(maxsize=32)
def _program(config: VitConfig, dtype: Any, kind: Score, devices: Devices) -> Callable[..., Array]:
    """One batch: (_, (params, template, label), masks) to values."""

    def run(length: int, params: Any, template: ImageTemplate, label: Array, bits: Array) -> Array:
        seen: Any = Vit(config, dtype).apply({"params": params}, composed(template, bits))
        return score(seen.pooled, label, kind)

    return devices.compile(run)
