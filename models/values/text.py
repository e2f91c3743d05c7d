"""Value functions of texts: masks in, values out, over all local devices.

The parameters are on every device (:mod:`~spexjax.models.nn.devices`). How batches are made is in
:mod:`~spexjax.models.values.batching`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.models.bert.classifier import TextClassifier
from spexjax.models.bert.families import AnyConfig
from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import (
    Features,
    MaskableText,
    Replacement,
    Template,
    bucket,
    masked_rows,
    split_text,
    template,
    warn_of_unknown,
)
from spexjax.models.text.spans import Span
from spexjax.models.values.batching import MaskedText
from spexjax.models.values.devices import rows_for
from spexjax.models.values.relaxed import derivatives, text_program
from spexjax.models.values.scores import Attention, Hidden, Score, outputs
from spexjax.typing import Array


@dataclass(eq=False)
class TextValue(MaskedText):
    """f(m): the score of a text whose features are masked by m; made by :func:`value_function`.

    Attributes:
      model: the classifier.
      source: the text, its features and tokens.
      label: the class whose score is the value.
      kind: what the value is.
      template: the text's tokens, padded to the bucket of its length.
      rows: masks per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch, compiled once per length, shared by texts of one bucket.
    """

    model: TextClassifier
    source: MaskableText
    label: int
    kind: Score | Hidden | Attention
    template: Template
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        kind = self.kind
        if not isinstance(kind, str) or kind == "logits":
            return f"{self.model.name}, {kind}"
        return f"{self.model.name}, {kind} of {self.model.label_names[self.label]}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model,
            f"{self.description}: {self.source.text[:40]}",
            text=self.source.text,
            spans=self.source.spans,
            template=self.template,
            label=self.label,
            kind=self.kind,
            dtype=str(self.dtype),
        )

    @cached_property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        return self.model.placed, *self.devices.put((self.template, np.int32(self.label)))

    def value_and_gradient(
        self, shares: Float[np.ndarray, "N n"], /
    ) -> tuple[Float[np.ndarray, "N *K"], Float[np.ndarray, "N n *K"]]:
        """See :mod:`~spexjax.models.values.relaxed`."""
        program = text_program(self.model.config, self.dtype, self.kind, self.devices)
        return derivatives(self, program, shares)

    def trimmed(self, values: Float[np.ndarray, "rows *K"]) -> Float[np.ndarray, "rows *K"]:
        """Values without what stands for padding."""
        return values[..., : self.n] if isinstance(self.kind, Attention) else values


def value_function(
    model: TextClassifier,
    text: str,
    features: Features | Iterable[Span] = "words",
    label: int | None = None,
    score: Score | Hidden | Attention = "logit",
    replacement: Replacement = "unk",
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> TextValue:
    """The value function of a text under a classifier.

    Args:
      model: the classifier.
      text: the text.
      features: "words", "sentences", "tokens" or character spans; see :func:`masking.split_text`.
      label: the class whose score is the value; the positive one if not given, and if none can be
        called that, the class predicted for the text.
      score: "logit", "log-odds", "probability" or "margin" of that class; or, for a vector of
        values, "logits", :class:`~spexjax.models.nn.readouts.Hidden` or
        :class:`~spexjax.models.nn.readouts.Attention`.
      replacement: what a masked feature becomes: "unk" ([UNK]), "mask" ([MASK]), "pad" (a place
        that attention does not see) or "delete" (nothing).
      dtype: to compute in, float32 or bfloat16.
      rows: masks per device and batch; chosen from the length if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``; f(1…1) is the score of the text itself.

    Raises:
      ValueError: for a text without words, a label out of range, or an unknown option.
    """
    positions = model.config.max_position_embeddings
    source = split_text(text, model.tokenizer, features, positions)
    warn_of_unknown(source, model.tokenizer, model.name)
    label = model.positive_label if label is None else label
    label = int(np.argmax(model.logits(text))) if label is None else label
    if not 0 <= label < model.config.num_labels:
        raise ValueError(f"label must be 0 to {model.config.num_labels - 1}, got {label}.")
    length = min(bucket(len(source.ids)), positions)
    devices = model.devices
    if rows is None:
        rows = rows_for(model, (model.config, length))
    return TextValue(
        model=model,
        source=source,
        label=label,
        kind=score,
        template=template(source, model.tokenizer, replacement, length),
        rows=rows,
        dtype=jnp.dtype(dtype),
        program=_program(model.config, jnp.dtype(dtype), score, devices),
    )


@lru_cache(maxsize=32)
def _program(
    config: AnyConfig, dtype: Any, kind: Score | Hidden | Attention, devices: Devices
) -> Callable[..., Array]:
    """One batch on every device: (length, (params, template, label), masks) to values."""

    def run(length: int, params: Any, template: Template, label: Array, masks: Array) -> Array:
        rows = masked_rows(template, masks, length)
        return outputs(config, params, rows, label, kind, masks.shape[-1], dtype)

    return devices.compile(run)
