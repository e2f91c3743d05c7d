"""Data whose points are attributed: digits, CIFAR-10, and a set with planted pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from spexjax.experiments.data import datasets
from spexjax.experiments.tasks.item import known
from spexjax.models.training import DataValue, cnn, data_value, logistic_regression, mlp
from spexjax.models.training.digits import split
from spexjax.models.training.groups import within_classes
from spexjax.models.training.learners import Learner
from spexjax.typing import Array

NAMES = ("digits", "digits-groups", "cifar", "planted")


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Points, a model, and how it is trained.

    Attributes:
      name: of the task.
      learner, about: the model, and what it is called.
      train, test: inputs and labels.
      groups: of training points; None if each is a feature.
      steps, batch, rate, decay: of Adam; constants that give the models about their best accuracy.
      planted: of each test point, the pair of training points that was made for it and the sign
        that its interaction must have; empty if nothing was planted.
    """

    name: str
    learner: Learner
    about: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    groups: Sequence[Sequence[int]] | None = None
    steps: int = 100
    batch: int | None = None
    rate: float = 1e-2
    decay: float = 1e-3
    planted: tuple["Planted", ...] = ()

    def value(self, key: int = 0, seeds: int = 1) -> DataValue:
        """Margins of the test points, as a function of the training points."""
        return data_value(
            *self.learner, train=self.train, test=self.test, groups=self.groups,
            optimizer=self.rate, steps=self.steps, batch=self.batch, decay=self.decay,
            seeds=seeds, key=key, name=f"{self.name}, {self.about}",
        )  # fmt: skip

    @property
    def labels(self) -> Int[np.ndarray, "n"]:
        """The class of each feature; groups are of one class."""
        if self.groups is None:
            return self.train[1]
        return np.array([self.train[1][group[0]] for group in self.groups])


class Planted(NamedTuple):
    """A pair that was made for a test point."""

    pair: tuple[int, int]
    sign: int
    """−1 for duplicates, +1 for an XOR."""


def training_set(name: str, tests: int, data: str | None = None) -> TrainingSet:
    """The task of a name.

    Args:
      name: one of ``NAMES``.
      tests: test points; "planted" has 64 at most.
      data: folder of data sets, for "cifar"; $SPEXJAX_DATA if None.

    Raises:
      ValueError, FileNotFoundError: if there is no such task, or its data are not there.
    """
    known("task", name, NAMES)
    if name == "digits":
        train, test = split(100, tests)
        return TrainingSet(name, mlp((8, 8), 10, (32,)), "MLP 64-32-10", train, test, batch=25)
    if name == "digits-groups":
        train, test = split(1200, tests)
        groups = within_classes(train[1], 60)
        return TrainingSet(
            name, mlp((8, 8), 10, (32,)), "MLP 64-32-10", train, test, groups, batch=100
        )
    return planted(tests) if name == "planted" else cifar(tests, data)


def cifar(tests: int, data: str | None = None) -> TrainingSet:
    """400 images of CIFAR-10, 40 of a class: a CNN on a GPU, else a MLP on fixed features."""
    images = datasets.load_cifar10(data)
    chosen = np.concatenate([np.flatnonzero(images.train_labels == c)[:40] for c in range(10)])
    tested = np.random.default_rng(0).permutation(len(images.test))[:tests]
    train = images.train[chosen], images.train_labels[chosen]
    test = images.test[tested], images.test_labels[tested]
    if jax.default_backend() != "cpu":
        a, b = (x.astype(np.float32) / 255 for x in (train[0], test[0]))
        learner, about = cnn((32, 32, 3), 10, (32, 64, 64)), "CNN"
        options = {"batch": 100, "steps": 200, "rate": 3e-3}
    else:
        a, b = random_features(train[0], test[0])
        learner, about = mlp(a.shape[1:], 10, (32,)), "MLP on random features"
        options = {"batch": 100, "steps": 60, "rate": 1e-2}
    made = TrainingSet("cifar", learner, about, (a, train[1]), (b, test[1]))
    return replace(made, **options)  # type: ignore[arg-type]


def random_features(
    train: Float[np.ndarray, "train 32 32 3"], test: Float[np.ndarray, "test 32 32 3"]
) -> tuple[Float[np.ndarray, "train 256"], Float[np.ndarray, "test 256"]]:
    """Random 6 × 6 convolutions of patches without their mean, rectified, means over quadrants.

    Scaled by means and deviations of all training images, which no mask changes.
    """
    filters = jax.random.normal(jax.random.key(0, impl="threefry2x32"), (6, 6, 3, 32), jnp.float32)
    filters = filters - filters.mean(axis=(0, 1), keepdims=True)

    @jax.jit
    def features(images: Array) -> Array:
        z = jax.lax.conv_general_dilated(
            images.astype(jnp.float32) / 255, filters, (1, 1), "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )[:, :26, :26]  # fmt: skip
        z = jnp.concatenate([jax.nn.relu(z - 1.0), jax.nn.relu(-z - 1.0)], axis=3)
        return z.reshape(len(z), 2, 13, 2, 13, 64).mean(axis=(2, 4)).reshape(len(z), -1)

    a, b = np.asarray(features(train)), np.asarray(features(test))
    mean, spread = a.mean(axis=0), a.std(axis=0) + 1e-6
    # So that the norm of an image is about 1, as an MLP likes it.
    return (a - mean) / spread / 8, (b - mean) / spread / 8


DUPLICATES, XORS, COPIES, BACKGROUND = 8, 8, 3, 12


def planted(tests: int = 64) -> TrainingSet:
    """Logistic regression where some pairs of training points must interact.

    A pair of exact duplicates has a direction of its own, in which their test points lie: one of
    them is enough, so that they are redundant (negative). An XOR has two directions u and v:
    points u and v of one class, and several u + v of the other. Logistic regression cannot have
    both, and gives test points near u + v to the first class only where u and v are there: synergy
    (positive).
    """
    rng = np.random.default_rng(0)
    dimensions = DUPLICATES + 2 * XORS + 4
    x: list[np.ndarray] = []
    y: list[int] = []
    made: list[tuple[np.ndarray, Planted]] = []

    def add(at: np.ndarray, label: int) -> int:
        x.append(at)
        y.append(label)
        return len(x) - 1

    axes = np.eye(dimensions)
    for d in range(DUPLICATES):
        pair = add(axes[d], 1), add(axes[d], 1)
        made.append((axes[d], Planted(pair, -1)))
    for d in range(DUPLICATES, DUPLICATES + 2 * XORS, 2):
        u, v = axes[d], axes[d + 1]
        pair = add(u, 1), add(v, 1)
        for _ in range(COPIES):
            add(u + v, 0)
        made.append((u + v, Planted(pair, 1)))
    for i in range(BACKGROUND):
        noise = np.zeros(dimensions)
        noise[-4:] = rng.normal(size=4)
        add(noise, i % 2)
    chosen = [made[i % len(made)] for i in range(tests)]
    near = [at + 0.05 * rng.normal(size=dimensions) for at, _ in chosen]
    return TrainingSet(
        "planted", logistic_regression((dimensions,), 2), "logistic regression",
        (np.array(x, np.float32), np.array(y)),
        (np.array(near, np.float32), np.ones(tests, int)),
        steps=150, rate=0.1, planted=tuple(pair for _, pair in chosen),
    )  # fmt: skip
