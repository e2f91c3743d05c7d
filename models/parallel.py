"""Value functions of texts: masks in, values out, over all local devices.

Masks are cut into batches of one fixed size and split over the devices by ``pmap``; the
parameters are on every device. Lengths and numbers of features are rounded up to a ladder, so
that texts of similar size share one compiled program.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax.models.classifier import TextClassifier
from spexjax.models.distilbert import Config, apply
from spexjax.models.masking import (
    Features,
    MaskableText,
    Replacement,
    Template,
    bucket,
    masked_ids,
    split_text,
    template,
)
from spexjax.models.scoring import Score, score
from spexjax.models.spans import Span
from spexjax.typing import Array

# Tokens per device and batch: on CPUs what the caches hold, elsewhere what keeps the device busy.
_TOKENS = {"cpu": 1 << 11}
_TOKENS_ELSEWHERE = 1 << 16


def default_rows(length: int, platform: str) -> int:
    """Masks per device and batch for rows of ``length`` tokens: a power of two, 8 to 512."""
    rows = _TOKENS.get(platform, _TOKENS_ELSEWHERE) // length
    return min(max(1 << max(rows, 1).bit_length() - 1, 8), 512)


@dataclass(frozen=True, eq=False)
class TextValue:
    """f(m): the score of a text whose features are masked by m; made by :func:`value_function`.

    Attributes:
      model: the classifier.
      source: the text, its features and tokens.
      label: the class whose score is the value.
      kind: which score.
      template: the text's tokens, padded to the bucket of its length.
      rows: masks per device and batch.
      program: the compiled batch, shared by texts of one bucket.
    """

    model: TextClassifier
    source: MaskableText
    label: int
    kind: Score
    template: Template
    rows: int
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """The number of features."""
        return self.source.n

    @property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return self.source.words

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N"]:
        """Values, float32, (N,), of masks, bool, (N, n); True keeps a feature.

        Raises:
          ValueError: if the masks are not bool or not (N, n).
        """
        masks = np.asarray(masks)
        if masks.ndim != 2 or masks.shape[1] != self.n or masks.dtype != bool:
            raise ValueError(
                f"masks must be bool of shape (N, {self.n}), got {masks.dtype} {masks.shape}."
            )
        devices = jax.local_device_count()
        size = devices * self.rows
        fill = (-len(masks) % size, bucket(self.n) - self.n)
        padded = np.pad(masks, ((0, fill[0]), (0, fill[1])))
        padded = padded.reshape(-1, devices, self.rows, padded.shape[1])
        label = np.int32(self.label)
        parts = [self.program(self.model.replicated, self.template, label, m) for m in padded]
        values = [np.asarray(part, np.float32).reshape(-1) for part in parts]
        return np.concatenate([np.zeros(0, np.float32), *values])[: len(masks)]


def value_function(
    model: TextClassifier,
    text: str,
    features: Features | Iterable[Span] = "words",
    label: int | None = None,
    score: Score = "logit",
    replacement: Replacement = "unk",
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> TextValue:
    """The value function of a text under a classifier.

    Args:
      model: the classifier.
      text: the text.
      features: "words", "sentences" or character spans; see :func:`masking.split_text`.
      label: the class whose score is the value; the positive one if not given, and if none can be
        called that, the class predicted for the text.
      score: "logit", "log-odds", "probability" or "margin".
      replacement: what a masked feature becomes: "unk" ([UNK]), "mask" ([MASK]) or "delete".
      dtype: to compute in, float32 or bfloat16.
      rows: masks per device and batch; chosen from the length if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``; f(1…1) is the score of the text itself.

    Raises:
      ValueError: for a text without words, a label out of range, or an unknown option.
    """
    positions = model.config.max_position_embeddings
    source = split_text(text, model.tokenizer, features, positions)
    label = model.positive_label if label is None else label
    label = int(np.argmax(model.logits(text))) if label is None else label
    if not 0 <= label < model.config.num_labels:
        raise ValueError(f"label must be 0 to {model.config.num_labels - 1}, got {label}.")
    length = min(bucket(len(source.ids)), positions)
    rows = default_rows(length, jax.local_devices()[0].platform) if rows is None else rows
    return TextValue(
        model=model,
        source=source,
        label=label,
        kind=score,
        template=template(source, model.tokenizer, replacement, length),
        rows=rows,
        program=_program(model.config, jnp.dtype(dtype), score),
    )


@lru_cache(maxsize=32)
def _program(config: Config, dtype: Any, kind: Score) -> Callable[..., Array]:
    """One batch on every device: (params, template, label, masks (devices, rows, n)) to scores."""

    def run(params: Any, template: Template, label: Array, masks: Array) -> Array:
        ids, keep = masked_ids(template, masks)
        return score(apply(config, params, ids, keep, dtype), label, kind)

    return jax.pmap(run, in_axes=(0, None, None, 0), devices=jax.local_devices())
