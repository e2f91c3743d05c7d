"""What is trained: the settings of a run, fixed positions, and the loss under random masks."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spexjax.models.bert.config import Config
from spexjax.models.bert.model import Classifier
from spexjax.models.mini.sentiment.batches import Rows
from spexjax.typing import Array


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on besides the data."""

    vocab_size: int = 8000
    dim: int = 128
    n_layers: int = 3
    n_heads: int = 4
    hidden_dim: int = 256
    positions: int = 2048
    position_scale: float = 0.1
    dropout: float = 0.3
    smoothing: float = 0.1
    mask_rows: float = 0.7
    mask_rate: float = 0.6
    window: int = 192
    held_out: int = 600
    epochs: int = 3
    tokens_per_step: int = 2048
    peak_rate: float = 1e-3
    weight_decay: float = 0.3
    average: float = 0.998
    seed: int = 0


def sinusoids(positions: int, dim: int) -> np.ndarray:
    """sin and cos of p / 10000^(2i/dim) in turn, (positions, dim) (Vaswani et al. 2017, §3.5)."""
    angles = np.arange(positions)[:, None] / 10000.0 ** (np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(positions, dim)


def loss(config: Config, s: Settings, unk: int, params: Any, batch: Rows, key: Array) -> Array:
    """Mean cross-entropy of a batch with dropout, some words replaced and smoothed targets."""
    k_row, k_rate, k_token, k_dropout = jax.random.split(key, 4)
    ids, labels = batch
    real = ids != config.pad_token_id
    rows = ids.shape[0]
    rate = jax.random.uniform(k_rate, (rows, 1), maxval=s.mask_rate)
    rate = rate * jax.random.bernoulli(k_row, s.mask_rows, (rows, 1))
    last = jnp.sum(real, -1, keepdims=True) - 1
    column = jnp.arange(ids.shape[1])
    word = (column > 0) & (column < last)
    masked = word & (jax.random.uniform(k_token, ids.shape) < rate)
    target = 0.5 + (labels - 0.5) * (1 - s.smoothing)
    logits = Classifier(config).apply(
        {"params": params}, jnp.where(masked, unk, ids), real, train=True,
        rngs={"dropout": k_dropout},
    )  # fmt: skip
    targets = jnp.stack([1 - target, target], -1)
    return jnp.mean(optax.softmax_cross_entropy(logits, targets))
