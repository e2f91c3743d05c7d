"""ModernBERT sequence classifiers in Flax (Warner et al. 2024, arXiv 2412.13663).

Norms come before attention and hidden layer, positions are rotary, most layers see a window only,
the hidden layer is gated (GeGLU), and dense layers have no bias unless the configuration says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.bert.config import check_length, labels_from, labels_to, only
from spexjax.models.checkpoints.folders import Row
from spexjax.models.nn.attention import scaled_scores
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
    "pad_token_id": "pad_token_id",
    "norm_eps": "norm_eps",
    "norm_bias": "norm_bias",
    "attention_bias": "attention_bias",
    "mlp_bias": "mlp_bias",
    "classifier_bias": "classifier_bias",
    "pooling": "classifier_pooling",
    "window": "local_attention",
}


@dataclass(frozen=True)
class ModernBertConfig:
    """The geometry of a classifier; the defaults are ModernBERT-base's.

    Attributes:
      every: each so manieth layer, from the first, sees the whole text, the others a window.
      window: tokens of the window; half of them on either side.
      theta, window_theta: bases of the rotary frequencies of either kind of layer.
      pooling: the head reads the first token, or the mean of all.
    """

    vocab_size: int = 50368
    dim: int = 768
    n_layers: int = 22
    n_heads: int = 12
    hidden_dim: int = 1152
    max_position_embeddings: int = 8192
    pad_token_id: int = 50283
    norm_eps: float = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    classifier_bias: bool = False
    pooling: Literal["cls", "mean"] = "cls"
    window: int = 128
    every: int = 3
    theta: float = 160_000.0
    window_theta: float = 10_000.0
    num_labels: int = 2
    label_names: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """What ``config.json`` calls it."""
        return "modernbert"


class Layer(nn.Module):
    """One layer: attention and gated hidden layer, each after a norm; the first has none."""

    config: ModernBertConfig
    index: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, keep: Array) -> Array:
        c, precision = self.config, precision_of(self.dtype)

        def dense(size: int, bias: bool, name: str) -> nn.Dense:
            return nn.Dense(size, bias, dtype=self.dtype, precision=precision, name=name)

        whole = self.index % c.every == 0
        length, d = x.shape[-2], c.dim // c.n_heads
        seen = x if self.index == 0 else _norm(c, self.dtype, "attention_norm")(x)
        qkv = dense(3 * c.dim, c.attention_bias, "qkv")(seen)
        qkv = qkv.reshape(*x.shape[:-1], 3, c.n_heads, d)
        q, k, v = (jnp.swapaxes(qkv[..., i, :, :], -2, -3) for i in range(3))
        q, k = (turned(part, c.theta if whole else c.window_theta) for part in (q, k))
        place = jnp.arange(length)
        near = whole | (jnp.abs(place[:, None] - place) <= c.window // 2)
        scores = jnp.einsum("...hqd,...hkd->...hqk", q, k, precision=precision)
        weights = jax.nn.softmax(scaled_scores(scores, keep[..., None, None, :] & near, d), axis=-1)
        mixed = jnp.matmul(weights.astype(v.dtype), v, precision=precision)
        mixed = jnp.swapaxes(mixed, -2, -3).reshape(x.shape)
        x = x + dense(c.dim, c.attention_bias, "out")(mixed)
        gated = dense(2 * c.hidden_dim, c.mlp_bias, "ffn_in")(_norm(c, self.dtype, "ffn_norm")(x))
        hidden, gate = jnp.split(gated, 2, axis=-1)
        hidden = jax.nn.gelu(hidden, approximate=False) * gate
        return x + dense(c.dim, c.mlp_bias, "ffn_out")(hidden)


class Encoder(nn.Module):
    """Embeddings and layers: ids (batch, length) to hidden states (batch, length, dim)."""

    config: ModernBertConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: Array, keep: Array, final: bool = True) -> Array:
        c = self.config
        check_length(jnp.shape(ids)[-1], c.max_position_embeddings)
        x = nn.Embed(c.vocab_size, c.dim, dtype=self.dtype, name="word")(jnp.asarray(ids))
        x = _norm(c, self.dtype, "norm")(x)
        for i in range(c.n_layers):
            x = Layer(c, i, self.dtype, name=f"layer_{i}")(x, jnp.asarray(keep, bool))
        return _norm(c, self.dtype, "final_norm")(x) if final else x


class Classifier(nn.Module):
    """Encoder, then dense, GELU, norm and dense on what is pooled; logits in float32."""

    config: ModernBertConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, ids: Int[ArrayLike, "batch length"], keep: Bool[ArrayLike, "batch length"]
    ) -> Float[Array, "batch K"]:
        """The logits, float32, (batch, num_labels)."""
        c, kw = self.config, {"dtype": self.dtype, "precision": precision_of(self.dtype)}
        x = Encoder(c, self.dtype, name="encoder")(jnp.asarray(ids), jnp.asarray(keep))
        if c.pooling == "cls":
            x = x[..., 0, :]
        else:
            there = jnp.asarray(keep, x.dtype)[..., None]
            x = (x * there).sum(axis=-2) / there.sum(axis=-2)
        x = nn.Dense(c.dim, c.classifier_bias, name="pre_classifier", **kw)(x)
        x = _norm(c, self.dtype, "head_norm")(jax.nn.gelu(x, approximate=False))
        return nn.Dense(c.num_labels, name="classifier", **kw)(x).astype(jnp.float32)


def turned(x: Float[Array, "... L d"], theta: float) -> Float[Array, "... L d"]:
    """Rotary positions 0, 1, …: the pairs (x_i, x_{i+d/2}) turned by their angles, in float32."""
    d = x.shape[-1]
    frequency = 1.0 / theta ** (jnp.arange(0, d, 2, dtype=jnp.float32) / d)
    angle = jnp.arange(x.shape[-2], dtype=jnp.float32)[:, None] * frequency
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _norm(config: ModernBertConfig, dtype: Any, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(
        epsilon=config.norm_eps, use_bias=config.norm_bias, dtype=dtype, use_fast_variance=False,
        name=name,
    )  # fmt: skip


def from_dict(raw: Mapping[str, Any]) -> ModernBertConfig:
    """The configuration that a ``config.json`` describes.

    Raises:
      ValueError: for an activation, layers or frequencies that are not supported.
    """
    only(raw, hidden_activation="gelu", classifier_activation="gelu")
    values = {ours: raw[key] for ours, key in _KEYS.items() if raw.get(key) is not None}
    values["every"] = raw.get("global_attn_every_n_layers", 3)
    types = raw.get("layer_types")
    if types is not None:
        whole = [i for i, kind in enumerate(types) if kind == "full_attention"]
        values["every"] = whole[1] if len(whole) > 1 else max(len(types), 1)
        if whole != list(range(0, len(types), values["every"])):
            raise ValueError("layer_types must be every so manieth layer, from the first.")
    ropes = raw.get("rope_parameters") or {}
    for ours, kind, old in (
        ("theta", "full_attention", "global_rope_theta"),
        ("window_theta", "sliding_attention", "local_rope_theta"),
    ):
        rope = ropes.get(kind) or {}
        only(rope, rope_type="default")
        found = rope.get("rope_theta", raw.get(old))
        if found is not None:
            values[ours] = float(found)
    return ModernBertConfig(**values, **labels_from(raw))


def to_dict(config: ModernBertConfig) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes ``config``."""
    kinds = ("full_attention", "sliding_attention")
    thetas = zip(kinds, (config.theta, config.window_theta), strict=True)
    return {
        **{key: getattr(config, ours) for ours, key in _KEYS.items()},
        **labels_to(config),
        "architectures": ["ModernBertForSequenceClassification"],
        "model_type": "modernbert",
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "layer_types": [kinds[bool(i % config.every)] for i in range(config.n_layers)],
        "rope_parameters": {k: {"rope_type": "default", "rope_theta": t} for k, t in thetas},
    }


def rows(config: ModernBertConfig) -> Iterator[Row]:
    """The table of names: stored tensor, path in the parameters, whether it is transposed."""
    c = config
    yield Row("model.embeddings.tok_embeddings.weight", ("encoder", "word", "embedding"), False)
    norms: dict[str, tuple[str, ...]] = {
        "model.embeddings.norm": ("encoder", "norm"),
        "head.norm": ("head_norm",),
    }
    norms["model.final_norm"] = ("encoder", "final_norm")
    dense: dict[str, tuple[tuple[str, ...], bool]] = {
        "head.dense": (("pre_classifier",), c.classifier_bias)
    }
    dense["classifier"] = (("classifier",), True)
    for i in range(c.n_layers):
        stored, layer = f"model.layers.{i}", ("encoder", f"layer_{i}")
        if i:
            norms[f"{stored}.attn_norm"] = (*layer, "attention_norm")
        norms[f"{stored}.mlp_norm"] = (*layer, "ffn_norm")
        dense[f"{stored}.attn.Wqkv"] = ((*layer, "qkv"), c.attention_bias)
        dense[f"{stored}.attn.Wo"] = ((*layer, "out"), c.attention_bias)
        dense[f"{stored}.mlp.Wi"] = ((*layer, "ffn_in"), c.mlp_bias)
        dense[f"{stored}.mlp.Wo"] = ((*layer, "ffn_out"), c.mlp_bias)
    for name, path in norms.items():
        yield Row(f"{name}.weight", (*path, "scale"), False)
        if c.norm_bias:
            yield Row(f"{name}.bias", (*path, "bias"), False)
    for name, (path, bias) in dense.items():
        yield Row(f"{name}.weight", (*path, "kernel"), True)
        if bias:
            yield Row(f"{name}.bias", (*path, "bias"), False)
