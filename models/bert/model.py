"""DistilBERT and BERT sequence classifiers in Flax: token ids in, logits out.

The two families share the encoder (post-norm: LayerNorm after each residual sum) and a head of
two dense layers on the first token. They differ in BERT's token types and in the activation
between the head's layers: ReLU for DistilBERT (Sanh et al. 2019, arXiv 1910.01108), tanh for
BERT's pooler (Devlin et al. 2019, arXiv 1810.04805). The maths is in pure functions, the modules
hold the parameters, and ``Classifier(config).apply({"params": params}, ids, mask)`` is pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike

Family = Literal["distilbert", "bert"]

# Our field: (DistilBERT's key, BERT's key) in config.json.
_KEYS = {
    "vocab_size": ("vocab_size", "vocab_size"),
    "dim": ("dim", "hidden_size"),
    "n_layers": ("n_layers", "num_hidden_layers"),
    "n_heads": ("n_heads", "num_attention_heads"),
    "hidden_dim": ("hidden_dim", "intermediate_size"),
    "max_position_embeddings": ("max_position_embeddings", "max_position_embeddings"),
    "dropout": ("dropout", "hidden_dropout_prob"),
    "attention_dropout": ("attention_dropout", "attention_probs_dropout_prob"),
    "head_dropout": ("seq_classif_dropout", "classifier_dropout"),
    "pad_token_id": ("pad_token_id", "pad_token_id"),
}


@dataclass(frozen=True)
class Config:
    """The geometry of a classifier; the defaults are distilbert-base's.

    Raises:
      ValueError: if the family is unknown or the heads do not divide ``dim``.
    """

    family: Family = "distilbert"
    vocab_size: int = 30522
    dim: int = 768
    n_layers: int = 6
    n_heads: int = 12
    hidden_dim: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    num_labels: int = 2
    label_names: tuple[str, ...] = ()
    pad_token_id: int = 0
    norm_eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise ValueError(f"family must be one of {get_args(Family)}, got {self.family!r}.")
        if self.dim % self.n_heads:
            raise ValueError(f"n_heads = {self.n_heads} must divide dim = {self.dim}.")


def config_from_dict(raw: Mapping[str, Any]) -> Config:
    """A :class:`Config` from the contents of a Hugging Face ``config.json``.

    Keys left out take the published defaults of the family.

    Raises:
      ValueError: for another family of models, or an activation, position encoding or decoder
        setting under which the stored weights would mean something else.
    """
    family: Any = raw.get("model_type")
    if family not in get_args(Family):
        raise ValueError(f"model_type must be one of {get_args(Family)}, got {family!r}.")
    bert = family == "bert"
    for name, want in (
        ("hidden_act" if bert else "activation", "gelu"),
        ("position_embedding_type", "absolute"),
        ("is_decoder", False),
    ):
        if raw.get(name, want) != want:
            raise ValueError(f"{name} = {raw[name]!r} is not supported, only {want!r}.")
    values = {ours: raw.get(keys[bert]) for ours, keys in _KEYS.items()}
    values = {ours: value for ours, value in values.items() if value is not None}
    if bert:
        base = {"n_layers": 12, "head_dropout": raw.get("hidden_dropout_prob", 0.1)}
        base |= {"type_vocab_size": raw.get("type_vocab_size", 2)}
        values = base | values
        values["norm_eps"] = raw.get("layer_norm_eps", 1e-12)
    names = raw.get("id2label")
    if names is not None:
        values["label_names"] = tuple(names[i] for i in sorted(names, key=int))
        values["num_labels"] = len(names)
    return Config(family=family, **values)


def config_to_dict(config: Config) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes ``config``."""
    bert = config.family == "bert"
    names = config.label_names or tuple(f"LABEL_{i}" for i in range(config.num_labels))
    raw = {keys[bert]: getattr(config, ours) for ours, keys in _KEYS.items()}
    raw |= {
        "architectures": [f"{'Bert' if bert else 'DistilBert'}ForSequenceClassification"],
        "model_type": config.family,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if bert:
        family = {"hidden_act": "gelu", "layer_norm_eps": config.norm_eps}
        return raw | family | {"type_vocab_size": config.type_vocab_size}
    return raw | {"activation": "gelu", "sinusoidal_pos_embds": False}


def attend(
    q: Float[Array, "... heads q d"],
    k: Float[Array, "... heads k d"],
    v: Float[Array, "... heads k d"],
    keep: Bool[Array, "... k"],
    weights_dropout: Float[Array, "... heads q k"] | None = None,
    precision: jax.lax.Precision = jax.lax.Precision.DEFAULT,
) -> Float[Array, "... heads q d"]:
    """Scaled dot-product attention, softmax(q kᵀ / √d) v, over the keys that ``keep`` marks.

    The softmax is taken in float32 whatever the inputs are (Vaswani et al. 2017, eq. 1).

    Args:
      q: queries; k, v: keys and values, (..., heads, length, d).
      keep: bool, (..., k), True for a key that may be seen. At least one per row.
      weights_dropout: factors for the attention weights (0 or 1/(1 − rate)), for training.
      precision: of the two products.
    """
    weights = attention_weights(q, k, keep, precision)
    if weights_dropout is not None:
        weights = weights * weights_dropout
    return jnp.matmul(weights.astype(v.dtype), v, precision=precision)


def attention_weights(
    q: Float[Array, "... heads q d"],
    k: Float[Array, "... heads k d"],
    keep: Bool[Array, "... k"],
    precision: jax.lax.Precision = jax.lax.Precision.DEFAULT,
) -> Float[Array, "... heads q k"]:
    """softmax(q kᵀ / √d) in float32 over the keys that ``keep`` marks; as for :func:`attend`."""
    scores = jnp.einsum("...hqd,...hkd->...hqk", q, k, precision=precision)
    scores = scores.astype(jnp.float32) * (q.shape[-1] ** -0.5)
    scores = jnp.where(keep[..., None, None, :], scores, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores, axis=-1)


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
        length = jnp.shape(ids)[-1]
        if length > c.max_position_embeddings:
            raise ValueError(
                f"length = {length} tokens exceed max_position_embeddings = "
                f"{c.max_position_embeddings}; shorten the text."
            )
        keep = jnp.asarray(keep, bool)

        def embed(size: int, name: str, index: ArrayLike) -> Array:
            return nn.Embed(size, c.dim, dtype=self.dtype, name=name)(jnp.asarray(index))

        x = embed(c.vocab_size, "word", ids)
        x = x + embed(c.max_position_embeddings, "position", jnp.arange(length))
        if c.type_vocab_size:
            token_types = jnp.zeros_like(ids) if token_types is None else token_types
            x = x + embed(c.type_vocab_size, "token_type", token_types)
        elif token_types is not None:
            raise ValueError("token_types given, but the model has none (type_vocab_size = 0).")
        x = _norm(c, self.dtype, "norm")(x)
        x = nn.Dropout(c.dropout, deterministic=not train)(x)
        for i in range(c.n_layers):
            rows = x[..., :1, :] if first_only and i == c.n_layers - 1 else x
            x = Layer(c, self.dtype, name=f"layer_{i}")(rows, x, keep, train)
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
        x = jnp.tanh(x) if c.family == "bert" else jax.nn.relu(x)
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


def hidden_states(
    config: Config,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    layer: int,
    dtype: Any = jnp.float32,
) -> Float[Array, "batch length dim"]:
    """The states after ``layer`` layers; 0 gives the normalised embeddings.

    Raises:
      ValueError: if the model has fewer layers.
    """
    if not 0 <= layer <= config.n_layers:
        raise ValueError(f"layer must be 0 to {config.n_layers}, got {layer}.")
    part = Encoder(replace(config, n_layers=layer), dtype)
    return jnp.asarray(part.apply({"params": params["encoder"]}, jnp.asarray(ids), keep))


def attention_of(
    config: Config,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    layer: int,
    head: int,
    query: int = 0,
    dtype: Any = jnp.float32,
) -> Float[Array, "batch length"]:
    """Attention weights of one head, from the token at ``query`` to every token; they sum to 1.

    Args:
      layer: from 0. head: from 0. The others as for :func:`hidden_states`.

    Raises:
      ValueError: if the model has no such layer or head.
    """
    if not 0 <= layer < config.n_layers or not 0 <= head < config.n_heads:
        raise ValueError(
            f"layer and head must be below {config.n_layers} and {config.n_heads}, "
            f"got {layer} and {head}."
        )
    states = hidden_states(config, params, ids, keep, layer, dtype)
    dense = params["encoder"][f"layer_{layer}"]["attention"]
    d = config.dim // config.n_heads
    part = slice(head * d, (head + 1) * d)

    def project(x: Array, name: str) -> Array:
        kernel = jnp.asarray(dense[name]["kernel"][:, part], dtype)
        y = jnp.matmul(x, kernel, precision=precision_of(dtype))
        return (y + jnp.asarray(dense[name]["bias"][part], dtype))[..., None, :, :]

    q, k = project(states[:, query : query + 1], "query"), project(states, "key")
    weights = attention_weights(q, k, jnp.asarray(keep, bool), precision_of(dtype))
    return weights[:, 0, 0]


def _norm(config: Config, dtype: Any, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=config.norm_eps, dtype=dtype, use_fast_variance=False, name=name)
