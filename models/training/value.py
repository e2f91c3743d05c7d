"""``data_value``: how models trained on a part of the data answer, as a function of the part."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from spexjax.models.nn.devices import Devices
from spexjax.models.training import scores
from spexjax.models.training.groups import Groups, membership
from spexjax.models.training.learners import Params
from spexjax.models.training.memory import models_at_once
from spexjax.models.training.scores import Score
from spexjax.models.training.training import Loss, Recipe, cross_entropy, train_model
from spexjax.steps import seed_key
from spexjax.store.fingerprint import fingerprint
from spexjax.typing import Array, ArrayLike, Key
from spexjax.values.errors import PartialValues

Points = tuple[ArrayLike, ArrayLike]
"""Inputs (points, …) and their labels (points,), integers."""
_LEAST = 64


@dataclass(frozen=True)
class Asked:
    """What a program depends on beside arrays."""

    recipe: Recipe
    score: Score
    block: int
    """Models trained at once; a call trains several blocks."""


@dataclass(eq=False)
class DataValue:
    """f(m): scores of K test points by a model trained on what m keeps; made by :func:`data_value`.

    The same mask gives the same values in every call, whatever else is asked for with it.

    Attributes:
      asked: recipe and score.
      train, test: the points, on the devices.
      feature: of each training point, on the devices.
      n: the number of features.
      keys: of each training of a mask; their scores are averaged.
      devices: where it is evaluated.
      words: names of the features.
      name: of the model.
      learning_rate: if it is known.
    """

    asked: Asked
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    feature: Array
    n: int
    keys: Key
    devices: Devices
    words: tuple[str, ...]
    name: str
    learning_rate: float | None

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.test[1])

    @property
    def description(self) -> str:
        """What is explained, in a line."""
        return (
            f"{self.name} trained on {len(self.train[1])} points, {self.asked.score} of "
            f"{self.outputs} test points"
        )

    @cached_property
    def store_key(self) -> str:
        """A name that differs whenever the program, the data or the keys do."""
        arrays = (*self.train, *self.test, self.feature)
        mask = jax.ShapeDtypeStruct((1, self.n), jnp.bool_)
        one = partial(_values, Asked(self.asked.recipe, self.asked.score, 1))
        program = jax.jit(one).lower(*jax.eval_shape(lambda *a: a, *arrays, self.keys), mask)
        return fingerprint(
            f"data value: {self.name}",
            program=program.as_text(),
            data=[np.asarray(a) for a in arrays],
            keys=np.asarray(jax.random.key_data(self.keys)),
        )

    @property
    def chunk_size(self) -> int:
        """Masks of one program on all devices, and so what a sudden end can lose."""
        block = self.asked.block
        return self.devices.data_width * block * -(-_LEAST // block)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N K"]:
        """Values, float32, of masks; True keeps a feature. Nothing kept is the untrained model.

        Raises:
          ValueError: if the masks are not bool or not (N, n).
          PartialValues: if training diverged for some masks: it holds the values of the others and
            says which these are. ``sx.explain`` keeps the values and says so.
        """
        values = self.by_seed(masks).mean(axis=0)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            values[bad] = np.nan
            raise PartialValues(values, Diverged(self._diverged(masks, bad)))
        return values

    def by_seed(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "seeds N K"]:
        """The values of each training apart; NaN or infinite where it diverged.

        Raises:
          ValueError: if the masks are not bool or not (N, n).
        """
        masks = np.asarray(masks)
        if masks.ndim != 2 or masks.shape[1] != self.n or masks.dtype != bool:
            raise ValueError(
                f"masks must be bool of shape (N, {self.n}), got {masks.dtype} {masks.shape}."
            )
        found = np.empty((len(self.keys), len(masks), self.outputs), np.float32)
        start = 0
        while start < len(masks):
            size = self.chunk_size
            try:
                part = self._batch(masks[start : start + size], size)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or self.asked.block == 1:
                    raise
                self._halve()
                continue
            found[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return found

    def noise(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "K"]:
        """The standard deviation of one training's scores over seeds, root mean square over masks.

        Values average so many trainings; the deviation of these means is this divided by the root
        of their number.

        Raises:
          ValueError: if there is one seed only.
        """
        if len(self.keys) < 2:
            raise ValueError("noise is measured between trainings: ask for seeds of at least 2.")
        each = self.by_seed(masks).astype(np.float64)
        return np.sqrt(each.var(axis=0, ddof=1).mean(axis=0))

    def params(self, weights: Float[ArrayLike, "points"] | None = None, seed: int = 0) -> Params:
        """The parameters that one training ends with; on all points without weights."""
        x, y = self.train
        weights = jnp.ones(len(y), jnp.float32) if weights is None else jnp.asarray(weights)
        return _trained(self.asked.recipe, x, y, weights, self.keys[seed])

    def _batch(
        self, masks: Bool[np.ndarray, "rows n"], size: int
    ) -> Float[np.ndarray, "seeds rows K"]:
        """Values of at most ``size`` masks, by a program of just so many."""
        width = self.devices.data_width
        padded = np.ones((size, self.n), bool)  # always the same shape: the same bits
        padded[: len(masks)] = masks
        sent = self.devices.put_rows(padded.reshape(width, -1, self.n))
        shared = (*self.train, *self.test, self.feature, self.keys)
        values = self.devices.fetch(_program(self.devices)(self.asked, shared, sent))
        flat = values.reshape(size, len(self.keys), self.outputs)
        return flat[: len(masks)].swapaxes(0, 1)

    def _halve(self) -> None:
        block = self.asked.block // 2
        self.asked = Asked(self.asked.recipe, self.asked.score, block)
        warnings.warn(
            f"A device has no memory to train {2 * block} models at once; from here on {block} are "
            "trained.",
            RuntimeWarning,
            stacklevel=4,
        )

    def _diverged(self, masks: np.ndarray, bad: np.ndarray) -> str:
        some = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        first = np.flatnonzero(masks[bad[0]])
        kept = ", ".join(map(str, first[:8])) + (", …" if len(first) > 8 else "")
        than = "" if self.learning_rate is None else f" than {self.learning_rate:g}"
        return (
            f"training diverged for {len(bad)} of {len(masks)} masks (rows {some}); the first of "
            f"them keeps {len(first)} of {self.n} features: {kept}. Try a smaller learning rate"
            f"{than}"
        )


class Diverged(ArithmeticError):
    """Training ended in scores that are no finite numbers."""


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
    shapes = jax.eval_shape(lambda *a: a, x, y)
    block = at_once or models_at_once(recipe, *shapes, here.local)
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


@lru_cache(maxsize=8)
def _program(devices: Devices) -> Callable[..., Array]:
    return devices.compile(_values)


def _values(
    asked: Asked, x: Array, y: Array, x_test: Array, y_test: Array, feature: Array, keys: Key,
    masks: Bool[Array, "rows n"],
) -> Float[Array, "rows seeds K"]:  # fmt: skip
    recipe = asked.recipe

    def by_seed(key: Key) -> Array:
        def one(mask: Bool[Array, "n"]) -> Float[Array, "K"]:
            params = train_model(recipe, x, y, mask[feature].astype(jnp.float32), key)
            return scores.score(asked.score, recipe.apply(params, x_test), y_test, recipe.loss)

        return jax.lax.map(one, masks, batch_size=asked.block)

    # Not vmapped: trainings of one key share their batches.
    return jnp.swapaxes(jax.lax.map(by_seed, keys), 0, 1)


@partial(jax.jit, static_argnums=0)
def _trained(recipe: Recipe, x: Array, y: Array, weights: Array, key: Key) -> Params:
    return train_model(recipe, x, y, weights, key)


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
