"""What ablated activations become: their means, or what they are for another prompt."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float, Int

from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import Llama, LlamaConfig
from spexjax.models.text.masking import TooLongError, bucket
from spexjax.models.values.asked import Asked, prompt_of, row_of
from spexjax.typing import Array

Ablation = Literal["zero", "mean", "resample"]

Bases = dict[str, Float[np.ndarray, "layers *activation"]]
"""By kind of component, as :class:`~spexjax.models.llama.edits.Site` has them; none for zero."""

# Where the axis of tokens stands in activations (layers, …) of one row.
_TOKENS = {"heads": 2}


def baselines(
    model: LanguageModel,
    asked: Sequence[Asked],
    tokens: Sequence[Sequence[int]],
    kinds: Sequence[str],
    ablation: Ablation,
    dtype: Any,
    directions: tuple[Int[np.ndarray, "K"], Any] | None,
) -> tuple[Bases, ...]:
    """For each question, what ablated activations of each kind become.

    Args:
      model: the model.
      asked, tokens: the questions and their rows.
      kinds: of components.
      ablation: "zero" gives none; "mean" the mean over all tokens of all questions; "resample" the
        activations for the other prompt, its last token at the last of the question's row, its
        first repeated where the row is longer.
      dtype: to compute in.
      directions: the layers and vectors of those.

    Raises:
      ValueError: if there is no other prompt, or it is too long.
    """
    if ablation == "zero":
        return tuple({} for _ in tokens)
    if ablation == "mean":
        count = sum(map(len, tokens))
        means: Bases = {}
        for row in tokens:
            for kind, a in _activations(model, row, kinds, dtype, directions).items():
                part = a.sum(axis=_TOKENS.get(kind, 1), keepdims=True) / count
                means[kind] = means[kind] + part if kind in means else part
        return (means,) * len(tokens)
    found = []
    for i, (one, row) in enumerate(zip(asked, tokens, strict=True)):
        if one.other is None and len(asked) == 1:
            raise ValueError("ablation='resample' needs two questions, or Asked(…, other=prompt).")
        other = tokens[(i + 1) % len(tokens)]
        if one.other is not None:
            asks = prompt_of(one.other)
            other = (
                *model.encode(asks.text, asks.marked),
                *row[len(row) - _answer(model, one, row) :],
            )
            if len(other) > model.config.max_position_embeddings:
                raise TooLongError("the other prompt and the answer exceed the model's positions.")
        place = np.maximum(np.arange(bucket(len(row))) - len(row) + len(other), 0)
        place = np.minimum(place, len(other) - 1)
        seen = _activations(model, other, kinds, dtype, directions)
        found.append({k: np.take(a, place, axis=_TOKENS.get(k, 1)) for k, a in seen.items()})
    return tuple(found)


def _answer(model: LanguageModel, one: Asked, row: Sequence[int]) -> int:
    """Tokens of the answer in a row."""
    asks = prompt_of(one.prompt)
    return len(row) - len(model.encode(asks.text, asks.marked))


def _activations(
    model: LanguageModel,
    tokens: Sequence[int],
    kinds: Sequence[str],
    dtype: Any,
    directions: tuple[Int[np.ndarray, "K"], Any] | None,
) -> Bases:
    """Of one row, without its padding."""
    ids, there, _ = row_of(tokens)
    found: Bases = {}
    for kind in kinds:
        look = "states" if kind == "directions" else kind
        seen = _program(model.config, dtype, look)(
            model.placed_in(dtype), *model.devices.put((ids[None], there[None]))
        )
        a = model.devices.fetch(seen)[:, 0].astype(np.float32)
        a = np.take(a, np.arange(len(tokens)), axis=_TOKENS.get(kind, 1))
        if kind == "directions":
            assert directions is not None
            at, v = directions
            a = np.einsum("kld,kd->kl", a[at], v) / np.sum(v * v, axis=1)[:, None]
        found[kind] = a
    return found


@lru_cache(maxsize=32)
def _program(config: LlamaConfig, dtype: Any, look: Any) -> Callable[..., Array]:
    def run(params: Any, ids: Array, valid: Array) -> Array:
        _, seen = Llama(config, dtype).apply(
            {"params": params}, ids, valid=valid, look=look, packed=True, mutable=["inside"]
        )
        return seen["inside"][look][0]

    return jax.jit(run)
