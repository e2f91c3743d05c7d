"""How models trained on a part of the data answer, as a function of the part."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax.models.nn.devices import Devices
from spexjax.models.training import scores
from spexjax.models.training.learners import Params
from spexjax.models.training.scores import Score
from spexjax.models.training.training import Recipe, train_model
from spexjax.store.fingerprint import fingerprint
from spexjax.typing import Array, ArrayLike, Key
from spexjax.values.errors import PartialValues

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
    """f(m): scores of K test points by a model trained on what m keeps.

    Made by :func:`~spexjax.models.training.making.data_value`. The same mask gives the same values
    in every call, whatever else is asked for with it.

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
