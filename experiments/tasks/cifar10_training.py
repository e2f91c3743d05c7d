"""Trains a small ViT on CIFAR-10: ``python -m spexjax.experiments.tasks.cifar10_training``.

The training photographs, flipped, shifted and of varying brightness, under Adam with decoupled
weight decay and a rate that falls to 0; written as a Hugging Face folder. A sample of a few hundred
photographs is enough for a model that is better than chance, not for a good one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Float, Int, UInt8

from spexjax.experiments.data import datasets
from spexjax.experiments.data.cifar10 import CLASSES
from spexjax.experiments.data.folder import DATA, with_data
from spexjax.models.vit.config import VitConfig
from spexjax.models.vit.model import Vit, init_params
from spexjax.models.vit.weights import save_classifier
from spexjax.typing import Array, Key

_PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on."""

    out: Path
    """Folder of the model."""
    data: str | None = None
    """A folder of data sets; $SPEXJAX_DATA if not given."""
    dim: int = 96
    layers: int = 4
    heads: int = 4
    steps: int = 600
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.05
    seed: int = 0


def geometry(s: Settings) -> VitConfig:
    """The model's configuration: patches of 4 pixels."""
    return VitConfig(
        image_size=32, patch_size=4, dim=s.dim, n_layers=s.layers, n_heads=s.heads,
        hidden_dim=2 * s.dim, num_labels=len(CLASSES), label_names=CLASSES,
    )  # fmt: skip


def fit(
    s: Settings,
    images: UInt8[np.ndarray, "N 32 32 3"],
    labels: Int[np.ndarray, "N"],
    log: Callable[[str], None],
) -> dict[str, Any]:
    """The trained parameters."""
    config = geometry(s)
    rate = optax.warmup_cosine_decay_schedule(0.0, s.rate, s.steps // 20, s.steps)
    update = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=s.decay))
    params = init_params(config, jax.random.key(s.seed))
    memory = update.init(params)

    @jax.jit
    def step(params: Any, memory: Any, key: Key, x: Array, y: Array) -> tuple:
        def cost(params: Any) -> Array:
            seen: Any = Vit(config).apply({"params": params}, varied(key, x))
            return optax.softmax_cross_entropy_with_integer_labels(seen.pooled, y).mean()

        value, grads = jax.value_and_grad(cost)(params)
        updates, memory = update.update(grads, memory, params)
        return optax.apply_updates(params, updates), memory, value

    for i in range(s.steps):
        some = np.random.default_rng([s.seed, i]).integers(len(images), size=s.batch)
        key = jax.random.fold_in(jax.random.key(s.seed), i)
        params, memory, value = step(params, memory, key, images[some], labels[some])
        if (i + 1) % 100 == 0:
            log(f"step {i + 1} of {s.steps}, loss {float(value):.3f}")
    return dict(params)


def varied(key: Key, images: UInt8[Array, "N 32 32 3"]) -> Float[Array, "N 32 32 3"]:
    """Images, −1 to 1, half of them flipped, shifted by up to 4 pixels, brighter or darker."""
    flip, shift, light = jax.random.split(key, 3)
    x = images.astype(jnp.float32) / 127.5 - 1
    x = jnp.where(jax.random.bernoulli(flip, 0.5, (len(x), 1, 1, 1)), x[:, :, ::-1], x)
    wide = jnp.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
    corners = jax.random.randint(shift, (len(x), 2), 0, 9)
    moved = jax.vmap(lambda im, at: jax.lax.dynamic_slice(im, (at[0], at[1], 0), (32, 32, 3)))
    brighter = 0.2 * jax.random.normal(light, (len(x), 1, 1, 1))
    return jnp.clip(moved(wide, corners) + brighter, -1, 1)


def accuracy(
    config: VitConfig, params: Any, images: np.ndarray, labels: Int[np.ndarray, "N"]
) -> float:
    """The share of images whose likeliest class is the label."""
    predict = jax.jit(lambda x: jnp.argmax(_seen(config, params, x), axis=-1))
    parts = [images[i : i + 100] for i in range(0, len(images), 100)]
    found = [np.asarray(predict(part.astype(np.float32) / 127.5 - 1)) for part in parts]
    return float(np.mean(np.concatenate(found) == labels))


def _seen(config: VitConfig, params: Any, x: Array) -> Array:
    seen: Any = Vit(config).apply({"params": params}, x)
    logits: Array = seen.pooled
    return logits


def save(folder: Path, config: VitConfig, params: Any) -> None:
    """Writes a Hugging Face folder."""
    save_classifier(folder, config, params)
    text = json.dumps(_PREPROCESSING, indent=2)
    (folder / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, trains, writes, prints the accuracy."""
    s = with_data(
        tyro.cli(
            Settings,
            args=arguments,
            prog="python -m spexjax.experiments.tasks.cifar10_training",
            description=f"{(__doc__ or '').splitlines()[0]} Data: --data or ${DATA}.",
        )
    )
    images = datasets.load_cifar10(s.data)
    log = partial(print, flush=True)
    params = fit(s, images.train, images.train_labels, log)
    save(s.out, geometry(s), params)
    for name, x, y in (
        ("training", images.train, images.train_labels),
        ("test", images.test, images.test_labels),
    ):
        share = accuracy(geometry(s), params, x, y)
        log(f"{share:.1%} of {len(y)} {name} photographs are classified rightly")


if __name__ == "__main__":
    main()
