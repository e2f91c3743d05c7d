"""Models trained in a second: many at once, one after another, and by PyTorch.

    python -m spexjax.experiments retraining

All train the task's perceptron, 64-32-10 on 100 digits. ``at once`` is what ``data_value`` does;
``programs`` calls one compiled training after another, ``steps`` one compiled step after another;
PyTorch (extra ``parity``) loops over steps and touches only the points that a mask keeps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spexjax.experiments.harness.timing import after_one
from spexjax.experiments.peers import torch_training
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.training_sets import training_set
from spexjax.models.training import data_value
from spexjax.models.training.training import Recipe, objective, train_model
from spexjax.models.training.value import DataValue
from spexjax.typing import Key


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    models: int = 512
    """Trained at once and counted; the loops train an eighth of them."""
    repeats: int = 5
    """Of each, in turn."""
    rows: tuple[int, ...] = ()
    """Numbers of models at once to try beside the default."""
    full_batch: bool = False
    """Steps over all points instead of batches of 25."""
    peers: bool = True
    """Run PyTorch beside, if it is installed."""


def run(config: Config) -> Rows:
    """A row for every way to train."""
    columns = {"way": "<24s", "models": ">6d", "models a second": ">15.1f", "at once is": ">10.2f"}
    title = (
        f"{jax.device_count()} {jax.default_backend()} device, {config.repeats} repeats: medians"
    )
    return Rows(title, columns, _rows(config))


def _rows(config: Config) -> Iterator[tuple[Any, ...]]:
    task = training_set("digits", 60)
    batch = None if config.full_batch else task.batch

    def value(at_once: int | None = None) -> DataValue:
        return data_value(
            *task.learner, train=task.train, test=task.test, steps=task.steps, batch=batch,
            optimizer=task.rate, decay=task.decay, at_once=at_once,
        )  # fmt: skip

    f = value()
    masks = np.random.default_rng(0).random((config.models, f.n)) < 0.5
    few = masks[: max(config.models // 8, 1)]
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        f"at once ({f.asked.block})": (len(masks), partial(f, masks)),
        "loop of programs": (len(few), partial(_programs, f, few)),
        "loop of steps": (len(few), partial(_steps, f, few)),
    }
    for at_once in config.rows:
        ways[f"at once ({at_once})"] = (len(masks), partial(value(at_once), masks))
    if config.peers and torch_training.available():
        x = np.asarray(f.train[0]).reshape(len(masks[0]), -1)
        ways["PyTorch"] = (
            len(few),
            lambda: torch_training.trained(
                x, np.asarray(f.train[1]), few, 32, 10, task.steps, batch, task.rate, task.decay
            ),
        )
    seconds = np.median(after_one([call for _, call in ways.values()], config.repeats), axis=0)
    rates = [count / s for (count, _), s in zip(ways.values(), seconds, strict=True)]
    for (name, (count, _)), rate in zip(ways.items(), rates, strict=True):
        yield name, count, rate, rates[0] / rate


@partial(jax.jit, static_argnums=0)
def _one(recipe: Recipe, x, y, x_test, weights, key: Key) -> jax.Array:
    return recipe.apply(train_model(recipe, x, y, weights, key), x_test)


def _programs(f: DataValue, masks: np.ndarray) -> None:
    for mask in masks:
        weights = mask.astype(np.float32)
        jax.block_until_ready(_one(f.asked.recipe, *f.train, f.test[0], weights, f.keys[0]))


@partial(jax.jit, static_argnums=0)
def _step(recipe: Recipe, params, state, x, y, weights):
    slope = jax.grad(lambda p: objective(recipe, p, x, y, weights))(params)
    updates, state = recipe.optimizer.update(slope, state, params)
    return optax.apply_updates(params, updates), state


def _steps(f: DataValue, masks: np.ndarray) -> None:
    recipe, (x, y) = f.asked.recipe, f.train
    start, rows = recipe.init(f.keys[0]), recipe.batch or len(y)
    state = recipe.optimizer.init(start)
    cut = [(x[i : i + rows], y[i : i + rows]) for i in range(0, len(y) - rows + 1, rows)]
    for mask in masks:
        share = jnp.asarray(mask / max(mask.sum(), 1), jnp.float32)
        weights = [share[i : i + rows] for i in range(0, len(y) - rows + 1, rows)]
        now = start, state
        for t in range(recipe.steps):
            now = _step(recipe, *now, *cut[t % len(cut)], weights[t % len(cut)])
        jax.block_until_ready(recipe.apply(now[0], f.test[0]))
