"""A function with what all methods are scored on, and one explanation of it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from spexjax import explain, metrics
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.harness.watched import Remembered, Watched
from spexjax.experiments.tasks.item import Item
from spexjax.explanation import Explanation
from spexjax.methods.spex import Spex
from spexjax.typing import ValueFunction

_TEST_STREAM = 12345
FEWEST_FRESH = 100
"""Test masks that a score needs; with fewer left it is over bought ones too."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An item with what all its cells share.

    Attributes:
      item: the item.
      test_masks: how many test masks.
    """

    item: Item
    test_masks: int

    @cached_property
    def f(self) -> Remembered:
        """The item's function, asked for each mask once."""
        return Remembered(self.item.f, self.item.n)

    @cached_property
    def test(self) -> Bool[np.ndarray, "N n"]:
        """Uniform masks: the same for all methods, budgets and seeds; all if there are so few."""
        n = self.item.n
        if 2**n <= 2 * self.test_masks:
            return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
        rng = np.random.default_rng([_TEST_STREAM, n])
        return rng.random((self.test_masks, n)) < 0.5

    @cached_property
    def truth(self) -> Float[np.ndarray, "N"]:
        """The item's values there."""
        return np.asarray(self.f(self.test))


@dataclass(frozen=True, eq=False)
class Case:
    """One explanation to be made.

    Attributes:
      subject: the item.
      method: one of ``EXPLAINERS``.
      budget: calls allowed.
      seed: of the masks.
      t: the largest set that may be fitted.
      C: groups of coded designs.
    """

    subject: Subject
    method: str
    budget: int
    seed: int
    t: int = 5
    C: int = 3

    @cached_property
    def f(self) -> Watched:
        """The item's function, as this case asks it."""
        return Watched(self.subject.f)

    def explain(self, f: ValueFunction | None = None) -> Explanation:
        """The method's explanation; of ``f`` if given, else of the case's own function."""
        method = METHODS[self.method].config
        if isinstance(method, Spex):
            method = dataclasses.replace(method, groups=self.C)
        return explain(
            f or self.f, self.subject.item.n, budget=self.budget, method=method,
            max_order=self.t, seed=self.seed, chunk_size=4096,
        )  # fmt: skip

    def scored(self) -> Bool[np.ndarray, "N"]:
        """The test masks that a score of the case's explanation is over.

        Those that the method did not buy. Where 2^n is so small that fewer than ``FEWEST_FRESH``
        are left, all: R² is then that of the population, nearly all of which was bought.
        """
        fresh = self.f.fresh(self.subject.test)
        return fresh if fresh.sum() >= FEWEST_FRESH else np.ones(len(fresh), bool)

    def r2(self, e: Explanation) -> float:
        """R² of the case's explanation on those masks."""
        rows = self.scored()
        guess = e.predict(self.subject.test[rows])
        return float(metrics.r2(self.subject.truth[rows], guess))
