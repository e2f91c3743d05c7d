"""DeBERTa-v2 and -v3 sequence classifiers in Flax (He et al. 2021, arXiv 2006.03654, 2111.09543).

Attention is disentangled: the score of a query q for a key k is (Q_q·K_k + Q_q·P^K_δ + K_k·P^Q_δ)
/ √(3 d), where δ is the bucket of their distance q − k and P are the projections of a table of
distances, shared by all layers. There are no positions in the embeddings.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.bert.config import check_length, labels_from, labels_to, only
from spexjax.models.checkpoints.folders import Row
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike

# Our field: the key in config.json.
_KEYS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "max_position_embeddings": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "pad_token_id": "pad_token_id",
    "norm_eps": "layer_norm_eps",
    "buckets": "position_buckets",
    "farthest": "max_relative_positions",
}


@dataclass(frozen=True)
class DebertaConfig:
    """The geometry of a classifier; the defaults are DeBERTa-v3-base's.

    Attributes:
      buckets: half of the distances that are told apart, far ones by their logarithm; -1 for each.
      farthest: the largest distance; ``max_position_embeddings`` if below 1.
    """

    vocab_size: int = 128100
    dim: int = 768
    n_layers: int = 12
    n_heads: int = 12
    hidden_dim: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    pad_token_id: int = 0
    norm_eps: float = 1e-7
    buckets: int = 256
    farthest: int = -1
    num_labels: int = 2
    label_names: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """What ``config.json`` calls it."""
        return "deberta-v2"

    @property
    def reach(self) -> int:
        """The largest distance."""
        return self.farthest if self.farthest >= 1 else self.max_position_embeddings

    @property
    def span(self) -> int:
        """Half the rows of the table of distances."""
        return self.buckets if self.buckets > 0 else self.reach


def distances(config: DebertaConfig, length: int) -> Int[np.ndarray, "length length"]:
    """The row in the table of distances for every query and key.

    Up to half of the buckets, a distance is its own; beyond, buckets are equal on a logarithm's
    scale. In float32, as the reference has it: at the border of a bucket the last bit decides.
    """
    place = np.arange(length)
    apart = place[:, None] - place
    if config.buckets > 0:
        half = config.buckets // 2
        size = np.where(np.abs(apart) < half, half - 1, np.abs(apart)).astype(np.float32)
        scale = np.log(np.float32((config.reach - 1) / half))
        steps = np.log(size / np.float32(half)) / scale * np.float32(half - 1)
        far = (np.ceil(steps) + half) * np.sign(apart)
        apart = np.where(size <= half, apart, far).astype(np.int64)
    return np.clip(apart + config.span, 0, 2 * config.span - 1).astype(np.int32)


class Layer(nn.Module):
    """One layer; norms come after the sums."""

    config: DebertaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, table: Array, keep: Array) -> Array:
        c, precision = self.config, precision_of(self.dtype)
        d = c.dim // c.n_heads

        def dense(size: int, name: str) -> nn.Dense:
            return nn.Dense(size, dtype=self.dtype, precision=precision, name=name)

        def heads(projected: Array) -> Array:
            return jnp.swapaxes(projected.reshape(*projected.shape[:-1], c.n_heads, d), -2, -3)

        query, key = dense(c.dim, "query"), dense(c.dim, "key")
        q, k, v = heads(query(x)), heads(key(x)), heads(dense(c.dim, "value")(x))
        far_q, far_k = heads(query(table)), heads(key(table))
        place = jnp.asarray(distances(c, x.shape[-2]))

        def products(a: Array, b: Array) -> Array:
            return jnp.einsum("...hqd,...hkd->...hqk", a, b, precision=precision)

        # Of all distances' products those of each pair are taken.
        row = jnp.arange(x.shape[-2])[:, None]
        to_place = products(q, far_k)[..., row, place]
        from_place = products(k, far_q)[..., row.T, place]
        scores = (products(q, k) + to_place + from_place).astype(jnp.float32) / math.sqrt(3 * d)
        scores = jnp.where(keep[..., None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        mixed = jnp.swapaxes(jnp.matmul(weights, v, precision=precision), -2, -3).reshape(x.shape)
        x = _norm(c, self.dtype, "attention_norm")(x + dense(c.dim, "out")(mixed))
        hidden = jax.nn.gelu(dense(c.hidden_dim, "ffn_in")(x), approximate=False)
        return _norm(c, self.dtype, "ffn_norm")(x + dense(c.dim, "ffn_out")(hidden))


class Encoder(nn.Module):
    """Embeddings and layers: ids (batch, length) to hidden states (batch, length, dim)."""

    config: DebertaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: Array, keep: Array) -> Array:
        c, keep = self.config, jnp.asarray(keep, bool)
        check_length(jnp.shape(ids)[-1], c.max_position_embeddings)
        x = nn.Embed(c.vocab_size, c.dim, dtype=self.dtype, name="word")(jnp.asarray(ids))
        if c.type_vocab_size:
            types = nn.Embed(c.type_vocab_size, c.dim, dtype=self.dtype, name="token_type")
            x = x + types(jnp.zeros_like(jnp.asarray(ids)))
        x = _norm(c, self.dtype, "norm")(x) * keep[..., None]
        table = nn.Embed(2 * c.span, c.dim, dtype=self.dtype, name="distance")
        table = _norm(c, self.dtype, "distance_norm")(table(jnp.arange(2 * c.span)))
        for i in range(c.n_layers):
            x = Layer(c, self.dtype, name=f"layer_{i}")(x, table, keep)
        return x


class Classifier(nn.Module):
    """Encoder, then dense, GELU, dense on the first token; logits in float32."""

    config: DebertaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, ids: Int[ArrayLike, "batch length"], keep: Bool[ArrayLike, "batch length"]
    ) -> Float[Array, "batch K"]:
        """The logits, float32, (batch, num_labels)."""
        c, kw = self.config, {"dtype": self.dtype, "precision": precision_of(self.dtype)}
        x = Encoder(c, self.dtype, name="encoder")(jnp.asarray(ids), jnp.asarray(keep))[..., 0, :]
        x = jax.nn.gelu(nn.Dense(c.dim, name="pre_classifier", **kw)(x), approximate=False)
        return nn.Dense(c.num_labels, name="classifier", **kw)(x).astype(jnp.float32)


def _norm(config: DebertaConfig, dtype: Any, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=config.norm_eps, dtype=dtype, use_fast_variance=False, name=name)


def from_dict(raw: Mapping[str, Any]) -> DebertaConfig:
    """The configuration that a ``config.json`` describes.

    Raises:
      ValueError: for a setting under which the stored weights would mean something else, such as
        the convolution of DeBERTa-v2-xlarge.
    """
    only(
        {"position_biased_input": True, "norm_rel_ebd": "none"} | dict(raw),
        hidden_act="gelu", pooler_hidden_act="gelu", relative_attention=True, share_att_key=True,
        position_biased_input=False, norm_rel_ebd="layer_norm", conv_kernel_size=0,
    )  # fmt: skip
    kinds = raw.get("pos_att_type") or []
    kinds = kinds.lower().split("|") if isinstance(kinds, str) else kinds
    if {kind.strip() for kind in kinds} != {"c2p", "p2c"}:
        raise ValueError(f"pos_att_type must be c2p and p2c, got {kinds!r}.")
    values = {ours: raw[key] for ours, key in _KEYS.items() if raw.get(key) is not None}
    for key in ("embedding_size", "pooler_hidden_size"):
        only(raw, **{key: values.get("dim", 1536)})
    base = {"dim": 1536, "n_layers": 24, "n_heads": 24, "hidden_dim": 6144, "buckets": -1}
    return DebertaConfig(**(base | values), **labels_from(raw))


def to_dict(config: DebertaConfig) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes ``config``."""
    return {
        **{key: getattr(config, ours) for ours, key in _KEYS.items()},
        **labels_to(config),
        "architectures": ["DebertaV2ForSequenceClassification"],
        "model_type": "deberta-v2",
        "hidden_act": "gelu",
        "pooler_hidden_act": "gelu",
        "pooler_hidden_size": config.dim,
        "relative_attention": True,
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": ["p2c", "c2p"],
    }


def rows(config: DebertaConfig) -> Iterator[Row]:
    """The table of names: stored tensor, path in the parameters, whether it is transposed."""
    tables = {"deberta.embeddings.word_embeddings": "word", "deberta.encoder.rel_embeddings":
              "distance"}  # fmt: skip
    if config.type_vocab_size:
        tables["deberta.embeddings.token_type_embeddings"] = "token_type"
    for name, own in tables.items():
        yield Row(f"{name}.weight", ("encoder", own, "embedding"), False)
    norms: dict[str, tuple[str, ...]] = {
        "deberta.embeddings.LayerNorm": ("encoder", "norm"),
        "deberta.encoder.LayerNorm": ("encoder", "distance_norm"),
    }
    dense: dict[str, tuple[str, ...]] = {
        "pooler.dense": ("pre_classifier",), "classifier": ("classifier",),
    }  # fmt: skip
    for i in range(config.n_layers):
        stored, layer = f"deberta.encoder.layer.{i}", ("encoder", f"layer_{i}")
        for part in ("query", "key", "value"):
            dense[f"{stored}.attention.self.{part}_proj"] = (*layer, part)
        dense[f"{stored}.attention.output.dense"] = (*layer, "out")
        dense[f"{stored}.intermediate.dense"] = (*layer, "ffn_in")
        dense[f"{stored}.output.dense"] = (*layer, "ffn_out")
        norms[f"{stored}.attention.output.LayerNorm"] = (*layer, "attention_norm")
        norms[f"{stored}.output.LayerNorm"] = (*layer, "ffn_norm")
    for name, path in norms.items():
        yield Row(f"{name}.weight", (*path, "scale"), False)
        yield Row(f"{name}.bias", (*path, "bias"), False)
    for name, path in dense.items():
        yield Row(f"{name}.weight", (*path, "kernel"), True)
        yield Row(f"{name}.bias", (*path, "bias"), False)
