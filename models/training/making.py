"""``data_value``: a value function from a model, points and how the one is trained on the other."""

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
import optax
from jaxtyping import Int

from spexjax.models.nn.devices import Devices
from spexjax.models.training import scores
from spexjax.models.training.groups import Groups, membership
from spexjax.models.training.learners import Params
from spexjax.models.training.memory import models_at_once
from spexjax.models.training.scores import Score
from spexjax.models.training.training import Loss, Recipe, cross_entropy
from spexjax.models.training.value import Asked, DataValue
from spexjax.steps import seed_key
from spexjax.typing import Array, ArrayLike, Key

Points = tuple[ArrayLike, ArrayLike]
"""Inputs (points, …) and their labels (points,), integers."""


def data_value(
    init: Callable[[Key], Params],
    apply: Callable[[Params, Array], Array],
    loss: Loss = cross_entropy,
    *,
    train: Points,
    test: Points,
    groups: Groups | None = None,
    optimizer: optax.GradientTransformation | float = 1e-2,
    steps: int = 200,
    batch: int | None = None,
    decay: float = 0.0,
    score: Score = "margin",
    seeds: int = 1,
    key: int | Key = 0,
    at_once: int | None = None,
    name: str = "model",
    devices: Devices | None = None,
) -> DataValue:
    """A value function whose features are training points, or groups of them.

    f(m) trains a model on the points that m keeps and scores K test points; models of many masks
    are trained at once on all devices, each with weight 0 on the points that it must not see. All
    masks share the first parameters and the order of the batches, so that values differ by the data
    alone. ``init, apply`` may be a :class:`~spexjax.models.training.learners.Learner`, as in
    ``data_value(*mlp(shape, 10), train=…)``.

    Args:
      init: a key to parameters.
      apply: parameters and inputs (rows, …) to logits (rows, classes). It must treat every row by
        itself: no statistics of batches.
      loss: logits and labels to one loss per row.
      train, test: inputs and integer labels.
      groups: points of each feature, as :func:`~spexjax.models.training.groups.membership`
        takes them.
      optimizer: from optax, or the learning rate of Adam.
      steps: of the optimizer.
      batch: points of a step, the same ones in all models; all points if None.
      decay: adds (decay / 2) ‖θ‖² to the objective.
      score: "margin", "log-odds" or "loss" (:func:`~spexjax.models.training.scores.score`).
      seeds: trainings of each mask, from other first parameters and in other orders, averaged.
      key: an int or a key, of all trainings.
      at_once: models trained together on each device; chosen by the memory of a model if None.
      name: of the model, for people.
      devices: where models are trained; all of this process if None.

    Raises:
      ValueError: if points, labels, groups or numbers are wrong.
    """
    scores.check(score)
    x, y = _points("train", train)
    x_test, y_test = _points("test", test)
    if x.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"train and test have inputs of {x.shape[1:]} and {x_test.shape[1:]}.")
    for what, number in (("steps", steps), ("seeds", seeds), ("at_once", at_once or 1)):
        if number < 1:
            raise ValueError(f"{what} must be at least 1, got {number}.")
    if batch is not None and not 1 <= batch <= len(y):
        raise ValueError(f"batch must be from 1 to the {len(y)} training points, got {batch}.")
    if decay < 0:
        raise ValueError(f"decay must be at least 0, got {decay}.")
    rate = None
    if not isinstance(optimizer, optax.GradientTransformation):
        rate, optimizer = float(optimizer), _adam(float(optimizer))
    recipe = Recipe(init, apply, loss, optimizer, steps, batch, decay)
    _check_classes(recipe, x, y, y_test)
    feature = membership(groups, len(y))
    n = int(feature.max()) + 1
    keys = jax.random.split(seed_key(key), seeds)
    here = devices or Devices.here()
    placed = here.put((x, y, x_test, y_test, feature))
    block = at_once or models_at_once(recipe, *_shapes(x, y), here.local)
    words = tuple(f"{'point' if groups is None else 'group'} {i}" for i in range(n))
    return DataValue(
        asked=Asked(recipe, score, block),
        train=placed[:2],
        test=placed[2:4],
        feature=placed[4],
        n=n,
        keys=here.put(keys),
        devices=here,
        words=words,
        name=name,
        learning_rate=rate,
    )


@lru_cache(maxsize=64)
def _adam(rate: float) -> optax.GradientTransformation:
    """One object for one rate, so that programs are shared."""
    return optax.adam(rate)


def _shapes(x: np.ndarray, y: np.ndarray) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    return jax.ShapeDtypeStruct(x.shape, x.dtype), jax.ShapeDtypeStruct(y.shape, y.dtype)


def _points(what: str, given: Points) -> tuple[np.ndarray, Int[np.ndarray, "points"]]:
    x, y = (np.asarray(part) for part in given)
    if y.ndim != 1 or len(x) != len(y) or not len(y):
        raise ValueError(
            f"{what} must be inputs (points, …) and labels (points,), got {x.shape} and {y.shape}."
        )
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(f"labels of {what} must be integers from 0.")
    x = x.astype(np.float32) if x.dtype.kind in "fiub" else x
    if x.dtype != np.float32 or not np.isfinite(x).all():
        raise ValueError(f"inputs of {what} must be finite real numbers.")
    return x, y.astype(np.int32)


def _check_classes(recipe: Recipe, x: np.ndarray, y: np.ndarray, y_test: np.ndarray) -> None:
    params = jax.eval_shape(recipe.init, jax.random.key(0))
    logits = jax.eval_shape(recipe.apply, params, jax.ShapeDtypeStruct(x.shape, x.dtype))
    if len(logits.shape) != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise ValueError(
            f"apply must give logits ({len(x)}, classes) of at least two classes, got "
            f"{logits.shape}."
        )
    most = max(y.max(), y_test.max())
    if most >= logits.shape[1]:
        raise ValueError(f"the model has {logits.shape[1]} classes, but there is a label {most}.")
