"""Runs an experiment's cells, one after another; what an earlier run has finished is read."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from tqdm import tqdm

from spexjax.experiments.harness import protocol, results
from spexjax.experiments.harness.case import Case, Subject
from spexjax.experiments.harness.journal import Journal, plain
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Cell, Result
from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.item import Item
from spexjax.explanation import Explanation


class Config(Interface):
    """An experiment's configuration: a frozen dataclass with the protocol among its fields."""

    @property
    def protocol(self) -> Protocol: ...


@dataclass(frozen=True)
class Work:
    """Cells that are measured together.

    Attributes:
      name: what is shown while they are.
      cells: what is to be measured.
      measure: of one of them: the calls that it took and what it found, as JSON could.
    """

    name: str
    cells: tuple[Cell, ...]
    measure: Callable[[Cell], tuple[int, dict[str, Any]]]


Measure = Callable[[Case], tuple[Explanation, dict[str, Any]]]
"""Explains a case (once, or as often as it needs) and says what it found, as JSON could."""


def run(experiment: str, config: Config, measure: Measure, wanted=lambda item: True) -> Result:
    """Every item, budget, seed and method of a configuration's protocol.

    Args:
      experiment: its name.
      config: with ``protocol: Protocol``.
      measure: what is done with a case.
      wanted: whether the experiment can use an item.
    """
    settings = config.protocol
    items = (item for item in registry.items(settings.task) if wanted(item))
    raw = plain(dataclasses.asdict(config))  # type: ignore[call-overload]
    return finish(experiment, raw, (_work(item, settings, measure) for item in items))


def finish(experiment: str, raw: dict[str, Any], work: Iterable[Work]) -> Result:
    """The result of all work, saved after each piece, so that a report can show it in progress.

    Args:
      experiment: its name.
      raw: the configuration as JSON has it.
      work: made when its turn comes.
    """
    journal = Journal(results.stem(experiment, raw).with_suffix(".jsonl"), Cell, lambda c: c.key)
    cells: list[Cell] = []
    result = Result(experiment, raw)
    quiet = not sys.stderr.isatty()
    with tqdm(disable=quiet, unit="cell") as bar:
        for piece in work:
            bar.set_description(piece.name)
            start, before = time.perf_counter(), len(journal.done)
            for cell in piece.cells:
                cells.append(journal.done.get(cell.key) or journal.add(_finished(cell, piece)))
                bar.update()
            result = dataclasses.replace(result, cells=tuple(cells))
            result.save()
            done = len(journal.done) - before
            if quiet and done:
                said = f"{piece.name}  {done} cells in {time.perf_counter() - start:.0f} s"
                print(said, file=sys.stderr, flush=True)
    return result


def _finished(cell: Cell, piece: Work) -> Cell:
    if cell.skipped is None:
        calls, values = piece.measure(cell)
        cell = dataclasses.replace(cell, calls=calls, values=plain(values))
    return dataclasses.replace(cell, made_by=results.versions())


def _work(item: Item, settings: Protocol, measure: Measure) -> Work:
    subject = Subject(item, settings.test_masks)

    def measured(cell: Cell) -> tuple[int, dict[str, Any]]:
        case = Case(subject, cell.method, cell.budget, cell.seed, settings.t, settings.C)
        e, values = measure(case)
        return e.calls, values

    name = f"{item.group:>12}  n = {item.n:<4} {item.name[:40]}"
    return Work(name, tuple(_cells(item, settings)), measured)


def _cells(item: Item, settings: Protocol) -> Iterator[Cell]:
    for b in settings.b:
        if b > item.n:
            continue
        calls = protocol.budget(item.n, b, settings.t, settings.C)
        for seed in settings.seeds:
            for method in settings.methods:
                reason = protocol.reason_to_skip(method, item.n, calls)
                yield Cell(item.name, item.group, item.n, method, b, seed, calls, skipped=reason)
