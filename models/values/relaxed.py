"""Texts whose features are there in part: values and derivatives, for integrated gradients.

Of a feature's share s, each of its tokens has the embedding s · E[token] + (1 − s) · E[what
replaces]. Tokens keep their places. So a masked feature of several tokens is here as many
replacements, where a mask leaves one: f̃(0…0) is f(0…0) only where every feature is one token.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from spexjax.models.bert.families import AnyConfig
from spexjax.models.bert.mixing import mixed_words
from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.model import Cache, embed
from spexjax.models.llama.teacher_forcing import Answer, AnswerScore, answer_values
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import MaskedRows, Template, masked_rows
from spexjax.models.values.batching import BatchedValue, MaskedText
from spexjax.models.values.scores import Attention, Hidden, Score, outputs
from spexjax.typing import Array, ArrayLike
from spexjax.values.gradients import value_and_gradient

Program = Callable[..., Array]


class _Relaxed(BatchedValue):
    """f̃ and its n derivatives, as a vector of 1 + n numbers, or (1 + n, K)."""

    def __init__(self, of: MaskedText, program: Program):
        self.model, self.of, self.program = of.model, of, program
        # For derivatives the activations of all layers are kept.
        self.rows = max(of.rows // int(of.model.config.n_layers), 1)

    @property
    def n(self) -> int:
        return self.of.n

    @property
    def shared(self) -> tuple:
        return self.of.shared

    def trimmed(self, values: Float[np.ndarray, "N width *K"]) -> Float[np.ndarray, "N width *K"]:
        return self.of.trimmed(values[:, : 1 + self.n])

    def at(self, shares: Float[np.ndarray, "N n"]) -> Float[np.ndarray, "N width *K"]:
        """f̃ and its derivatives at shares."""
        return self._evaluate(shares, self.of.longest)


def derivatives(
    of: MaskedText, program: Program, shares: Float[np.ndarray, "N n"]
) -> tuple[Float[np.ndarray, "N *K"], Float[np.ndarray, "N n *K"]]:
    """Values and derivatives of a value function at shares.

    Args:
      of: the value function.
      program: of its model, from :func:`text_program` or :func:`language_program`.
      shares: (N, n), how much of each feature is there, 0 to 1.

    Raises:
      ValueError: if the shares are not (N, n), or a masked feature is not replaced by a token that
        is attended to.
    """
    shares = np.asarray(shares, np.float32)
    if shares.ndim != 2 or shares.shape[1] != of.n or not len(shares):
        raise ValueError(f"shares must have shape (N, {of.n}), N from 1, got {shares.shape}.")
    if not np.any(of.template.first) or not np.all(of.template.attended):
        raise ValueError(
            "there is no way between a word and nothing: integrated gradients need replacement "
            "'unk' or 'mask' (of a language model, any token), not 'delete' or 'pad'."
        )
    found = _Relaxed(of, program).at(shares)
    return found[:, 0], found[:, 1:]


@lru_cache(maxsize=32)
def text_program(
    config: AnyConfig, dtype: Any, kind: Score | Hidden | Attention, devices: Devices
) -> Program:
    """One batch of a classifier: (length, (params, template, label), shares) to values."""

    def run(length: int, params: Any, template: Template, label: Array, shares: Array) -> Array:
        def f(shares: Array) -> Array:
            part = partly(template, shares, length)
            with mixed_words(part.other, part.share):
                return outputs(config, params, part.rows, label, kind, shares.shape[-1], dtype)

        return _together(f, shares)

    return devices.compile(run)


@lru_cache(maxsize=32)
def language_program(
    config: LlamaConfig, dtype: Any, kind: AnswerScore | Hidden | Attention, devices: Devices
) -> Program:
    """The same of a question: (length, (params, prefix, template, answer), shares) to values."""

    def run(
        length: int, params: Any, prefix: Cache | None, template: Template, answer: Answer,
        shares: Array,
    ) -> Array:  # fmt: skip
        def f(shares: Array) -> Array:
            part = partly(template, shares, length)
            words, others = (embed(params, ids, dtype) for ids in (part.rows.ids, part.other))
            s = part.share[..., None].astype(words.dtype)
            return answer_values(
                config, params, part.rows, answer, kind, shares.shape[-1], prefix, dtype=dtype,
                embeddings=s * words + (1 - s) * others,
            )  # fmt: skip

        return _together(f, shares)

    return devices.compile(run)


class Partly(NamedTuple):
    """A batch of texts of which all tokens are there, each to some share."""

    rows: MaskedRows
    other: Int[Array, "N length"]
    """What stands for each token; those that no feature has stand for themselves."""
    share: Float[Array, "N length"]


def partly(template: Template, shares: Float[ArrayLike, "N n"], length: int) -> Partly:
    """The rows of a text, the tokens that replace them, and the share of each."""
    shares = jnp.asarray(shares)
    rows = masked_rows(template, jnp.ones(shares.shape, bool), length)
    inside = rows.feature >= 0
    other = jnp.where(inside, jnp.asarray(template.replacement), rows.ids)
    # A product with 0s and 1s, whose derivative sums in a fixed order.
    member = (rows.feature[0][:, None] == jnp.arange(shares.shape[-1])).astype(shares.dtype)
    share = jnp.einsum("rn,ln->rl", shares, member, precision="highest")
    return Partly(rows, other, jnp.where(inside, share, jnp.ones_like(share)))


def _together(f: Callable[[Array], Array], shares: Array) -> Array:
    values, gradients = value_and_gradient(f, shares)
    return jnp.concatenate([values[:, None], gradients], axis=1)
