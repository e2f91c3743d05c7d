"""Runs an experiment's cells: every item, budget, seed and method, one after another."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import Protocol as Interface

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from spexjax import explain
from spexjax.experiments.harness import protocol, results
from spexjax.experiments.harness.protocol import METHODS, Protocol
from spexjax.experiments.harness.remembered import Remembered
from spexjax.experiments.harness.results import Cell, Journal, Result
from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.item import Item
from spexjax.explanation import Explanation
from spexjax.typing import ValueFunction

_TEST_STREAM = 12345


class Config(Interface):
    """An experiment's configuration: a frozen dataclass with the protocol among its fields."""

    @property
    def protocol(self) -> Protocol: ...


@dataclass(frozen=True, eq=False)
class Subject:
    """An item with what all its cells share.

    Attributes:
      item: the item.
      test_masks: how many fresh masks.
    """

    item: Item
    test_masks: int

    @cached_property
    def f(self) -> Remembered:
        """The item's function, asked for each mask once."""
        return Remembered(self.item.f, self.item.n)

    @cached_property
    def test(self) -> Bool[np.ndarray, "N n"]:
        """Fresh uniform masks: the same for all methods, budgets and seeds."""
        rng = np.random.default_rng([_TEST_STREAM, self.item.n])
        return rng.random((self.test_masks, self.item.n)) < 0.5

    @cached_property
    def truth(self) -> Float[np.ndarray, "N"]:
        """The item's values there."""
        return np.asarray(self.f(self.test))


@dataclass(frozen=True, eq=False)
class Case:
    """One cell to be measured.

    Attributes:
      subject: the item.
      method: a name of ``METHODS``.
      budget: calls allowed.
      seed: of the masks.
      t: the largest set that may be fitted.
      C: groups of coded designs.
    """

    subject: Subject
    method: str
    budget: int
    seed: int
    t: int
    C: int

    def explain(self, f: ValueFunction | None = None) -> Explanation:
        """The method's explanation; of ``f`` if given, else of the item's remembered function."""
        method = METHODS[self.method].config
        if self.method.startswith("spex"):
            spex = method if method != "spex" else protocol.Spex()
            method = dataclasses.replace(spex, groups=self.C)
        return explain(
            f or self.subject.f, self.subject.item.n, budget=self.budget, method=method,
            max_order=self.t, seed=self.seed, chunk_size=4096,
        )  # fmt: skip


Measure = Callable[[Case], tuple[Explanation, dict[str, Any]]]
"""Explains a case (once, or as often as it needs) and says what it found, as JSON could."""


def run(experiment: str, config: Any, measure: Measure, wanted=lambda item: True) -> Result:
    """All cells of a configuration; those that an earlier run has finished are read.

    The result is saved after every item, so that a report can be made of a run in progress.

    Args:
      experiment: its name.
      config: a frozen dataclass with ``protocol: Protocol``.
      measure: what is done with a case.
      wanted: whether the experiment can use an item.
    """
    raw = results.plain(dataclasses.asdict(config))
    journal = Journal(results.stem(experiment, raw).with_suffix(".jsonl"))
    settings: Protocol = config.protocol
    cells: list[Cell] = []
    result = Result(experiment, raw, results.versions(), ())
    quiet = not sys.stderr.isatty()
    bar = tqdm(disable=quiet, unit="cell")
    for item in registry.items(settings.task):
        if not wanted(item):
            continue
        bar.set_description(f"{item.group} {item.name[:30]}")
        start, before = time.perf_counter(), len(journal.done)
        for cell in _item_cells(item, settings, measure, journal):
            cells.append(cell)
            bar.update()
        result = dataclasses.replace(result, cells=tuple(cells))
        result.save()
        if quiet and len(journal.done) > before:
            seconds = time.perf_counter() - start
            print(
                f"{item.group:>12}  n = {item.n:<4} {len(journal.done) - before} cells in "
                f"{seconds:.0f} s  {item.name[:40]}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    bar.close()
    return result


def _item_cells(
    item: Item, settings: Protocol, measure: Measure, journal: Journal
) -> Iterator[Cell]:
    subject = Subject(item, settings.test_masks)
    for b in settings.b:
        if b > item.n:
            continue
        calls = protocol.budget(item.n, b, settings.t, settings.C)
        for seed in settings.seeds:
            for method in settings.methods:
                cell = Cell(item.name, item.group, item.n, method, b, seed, calls)
                if cell.key in journal.done:
                    yield journal.done[cell.key]
                    continue
                skipped = protocol.reason_to_skip(method, item.n, calls)
                if skipped is not None:
                    yield journal.add(dataclasses.replace(cell, skipped=skipped))
                    continue
                case = Case(subject, method, calls, seed, settings.t, settings.C)
                e, found = measure(case)
                values = results.plain(found)
                yield journal.add(dataclasses.replace(cell, calls=e.calls, values=values))
