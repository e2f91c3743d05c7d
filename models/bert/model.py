"""DistilBERT, BERT, RoBERTa and XLM-R sequence classifiers in Flax: token ids in, logits out.

The families share the encoder (post-norm: LayerNorm after each residual sum) and a head of
two dense layers on the first token. They differ in token types, which DistilBERT has not, in the
activation between the head's layers: ReLU for DistilBERT (Sanh et al. 2019, arXiv 1910.01108),
tanh for the others (Devlin et al. 2019, arXiv 1810.04805), and in the positions of RoBERTa (Liu et
al. 2019, arXiv 1907.11692) and XLM-R (Conneau et al. 2020, arXiv 1911.02116), which begin behind
the padding's number and leave out padding. The maths is in pure functions, the modules
hold the parameters, and ``Classifier(config).apply({"params": params}, ids, mask)`` is pure.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.bert.config import Config, check_length
from spexjax.models.nn.attention import attend
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike


class Attention(nn.Module):
    """Multi-head attention from ``x`` (..., q, dim) to ``memory`` (..., k, dim)."""

    config: Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, memory: Array, keep: Array, train: bool = False) -> Array:
        c = self.config
        shape = (c.n_heads, c.dim // c.n_heads)
        precision = precision_of(self.dtype)

        def project(source: Array, name: str) -> Array:
            dense = nn.Dense(c.dim, dtype=self.dtype, precision=precision, name=name)
            # Heads before rows: batches of plain matrices, which XLA multiplies faster on CPUs.
            return jnp.swapaxes(dense(source).reshape(*source.shape[:-1], *shape), -2, -3)

        q, k, v = project(x, "query"), project(memory, "key"), project(memory, "value")
        dropout = None
        if train and c.attention_dropout:
            ones = jnp.ones((*x.shape[:-2], c.n_heads, x.shape[-2], memory.shape[-2]))
            dropout = nn.Dropout(c.attention_dropout, deterministic=False)(ones)
        mixed = attend(q, k, v, keep, dropout, precision)
        mixed = jnp.swapaxes(mixed, -2, -3).reshape(x.shape)
        return nn.Dense(c.dim, dtype=self.dtype, precision=precision, name="out")(mixed)


class Layer(nn.Module):
    """One encoder layer; the rows of ``x`` may be fewer than those of ``memory``."""

    config: Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, memory: Array, keep: Array, train: bool = False) -> Array:
        c = self.config
        kw = {"dtype": self.dtype, "precision": precision_of(self.dtype)}
        drop = nn.Dropout(c.dropout, deterministic=not train)
        mixed = Attention(c, self.dtype, name="attention")(x, memory, keep, train)
        x = _norm(c, self.dtype, "attention_norm")(x + drop(mixed))
        hidden = jax.nn.gelu(nn.Dense(c.hidden_dim, name="ffn_in", **kw)(x), approximate=False)
        hidden = nn.Dense(c.dim, name="ffn_out", **kw)(hidden)
        return _norm(c, self.dtype, "ffn_norm")(x + drop(hidden))


class Encoder(nn.Module):
    """Embeddings and layers: ids (batch, length) to hidden states (batch, length, dim)."""

    config: Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        ids: Int[ArrayLike, "batch length"],
        keep: Bool[ArrayLike, "batch length"],
        token_types: Int[ArrayLike, "batch length"] | None = None,
        first_only: bool = False,
        train: bool = False,
    ) -> Float[Array, "batch rows dim"]:
        """Hidden states after the last layer, (batch, length, dim).

        Args:
          ids: int32 token ids, (batch, length).
          keep: bool, True for tokens, False for padding.
          token_types: BERT's segment numbers; zeros if not given. DistilBERT has none.
          first_only: compute the last layer for the first token alone, (batch, 1, dim); the head
            reads nothing else.
          train: whether dropout is on (needs the ``dropout`` stream of randomness).

        Raises:
          ValueError: if the rows are longer than the model's positions.
        """
        c = self.config
        check_length(jnp.shape(ids)[-1], c.max_position_embeddings)
        keep = jnp.asarray(keep, bool)

        def embed(size: int, name: str, index: ArrayLike) -> Array:
            return nn.Embed(size, c.dim, dtype=self.dtype, name=name)(jnp.asarray(index))

        x = embed(c.vocab_size, "word", ids)
        rows = c.max_position_embeddings + c.first_position
        x = x + embed(rows, "position", _positions(c, jnp.asarray(ids)))
        if c.type_vocab_size:
            token_types = jnp.zeros_like(ids) if token_types is None else token_types
            x = x + embed(c.type_vocab_size, "token_type", token_types)
        elif token_types is not None:
            raise ValueError("token_types given, but the model has none (type_vocab_size = 0).")
        x = _norm(c, self.dtype, "norm")(x)
        x = nn.Dropout(c.dropout, deterministic=not train)(x)
        for i in range(c.n_layers):
            seen = x[..., :1, :] if first_only and i == c.n_layers - 1 else x
            x = Layer(c, self.dtype, name=f"layer_{i}")(seen, x, keep, train)
        return x[..., :1, :] if first_only else x


class Classifier(nn.Module):
    """Encoder, then dense, activation, dense on the first token; logits in float32."""

    config: Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        ids: Int[ArrayLike, "batch length"],
        keep: Bool[ArrayLike, "batch length"],
        token_types: Int[ArrayLike, "batch length"] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch K"]:
        """The logits, float32, (batch, num_labels). Arguments as for :class:`Encoder`."""
        c = self.config
        kw = {"dtype": self.dtype, "precision": precision_of(self.dtype)}
        x = Encoder(c, self.dtype, name="encoder")(ids, keep, token_types, True, train)[..., 0, :]
        x = nn.Dense(c.dim, name="pre_classifier", **kw)(x)
        x = jax.nn.relu(x) if c.family == "distilbert" else jnp.tanh(x)
        x = nn.Dropout(c.head_dropout, deterministic=not train)(x)
        return nn.Dense(c.num_labels, name="classifier", **kw)(x).astype(jnp.float32)


@partial(jax.jit, static_argnums=0)
def init_params(config: Config, key: Array) -> dict[str, Any]:
    """Fresh parameters, a nested dict of float32 arrays."""
    ids = jnp.zeros((1, 2), jnp.int32)
    return Classifier(config).init(key, ids, jnp.ones((1, 2), bool))["params"]


def apply(
    config: Config,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    dtype: Any = jnp.float32,
) -> Float[Array, "batch K"]:
    """The logits (batch, K), float32, computed in ``dtype`` (float32 or bfloat16)."""
    logits = Classifier(config, dtype).apply({"params": params}, jnp.asarray(ids), keep)
    return jnp.asarray(logits)


def _positions(config: Config, ids: Int[Array, "... length"]) -> Int[Array, "... length"]:
    """The row of each token in the table of positions: RoBERTa's are those of no padding."""
    if not config.roberta:
        return jnp.arange(ids.shape[-1])
    inside = (ids != config.pad_token_id).astype(jnp.int32)
    return jnp.cumsum(inside, axis=-1) * inside + config.pad_token_id


def _norm(config: Config, dtype: Any, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=config.norm_eps, dtype=dtype, use_fast_variance=False, name=name)
