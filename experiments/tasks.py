"""What the experiments explain: items, each a value function, grouped as the tables group them.

A task is a module with ``GROUPS``, the names of its groups, and ``items(config)``, which yields
the :class:`Item` of those that are asked for. Any experiment runs on any task; ``recovery`` uses
the items that know which inputs support the answer.
"""

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spexjax.typing import ArrayLike, ValueFunction

MODULES = {
    "synthetic": "spexjax.experiments.task_synthetic",
    "tabular": "spexjax.experiments.task_tabular",
    "sentiment": "spexjax.experiments.task_sentiment",
    "hotpotqa": "spexjax.experiments.task_hotpotqa",
    "drop": "spexjax.experiments.task_drop",
    "riddles": "spexjax.experiments.task_riddles",
    "two-hop": "spexjax.experiments.task_two_hop",
}
"""Name of a task → its module. They are imported when asked for: some need more packages."""


@dataclass(frozen=True)
class TaskConfig:
    """Which items are wanted.

    Attributes:
      name: one of ``MODULES``.
      groups: a choice of the task's groups; all of them if empty.
      per_group: items of each group, fewer where there are not so many.
      seed: shuffles them. A larger ``per_group`` begins with the same items.
      data: a folder of data sets, for tasks that read one.
      model: a model's folder or hub id, for tasks that use one; the package's own if None.
    """

    name: str = "sentiment"
    groups: tuple[str, ...] = ()
    per_group: int = 2
    seed: int = 0
    data: str | None = None
    model: str | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """One function to explain.

    Attributes:
      name: tells it from all others of its task, whatever the configuration.
      group: the group that it is averaged in.
      n: the number of inputs.
      f: (N, n) bool masks to (N,) values.
      supporting: the inputs known or annotated to support the answer; None if nobody knows.
      words: n labels, or none.
    """

    name: str
    group: str
    n: int
    f: ValueFunction
    supporting: tuple[int, ...] | None = None
    words: tuple[str, ...] = ()


class Task(Protocol):
    """What a task's module offers."""

    GROUPS: tuple[str, ...]

    def items(self, config: TaskConfig) -> Iterator[Item]:
        """Items by group, in the order of ``config.groups`` or of ``GROUPS``."""


def items(config: TaskConfig) -> Iterator[Item]:
    """The items that a configuration asks for.

    Raises:
      ValueError: if the task or a group is unknown; the nearest name is suggested.
    """
    task: Task = importlib.import_module(MODULES[known("task", config.name, MODULES)])
    for group in config.groups:
        known("group", group, task.GROUPS)
    return task.items(config)


def chosen(config: TaskConfig, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups asked for."""
    return config.groups or groups


def known(what: str, name: str, names) -> str:
    """The name, if it is one of the names.

    Raises:
      ValueError: if it is not.
    """
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}{hint}")
    return name


class Remembered:
    """A value function that is asked for every mask once, and counts what it was asked.

    Methods, budgets and test masks overlap (designs are nested, uniform masks come from one
    stream), so that an item's experiments cost about what the largest of them costs.
    """

    def __init__(self, f: ValueFunction, n: int):
        self.f, self.n = f, n
        self.values: dict[bytes, float] = {}

    def __call__(self, masks: np.ndarray, /) -> ArrayLike:
        keys = [row.tobytes() for row in np.packbits(masks, axis=1)]
        place = {key: i for i, key in enumerate(keys) if key not in self.values}
        if place:
            answers = np.asarray(self.f(masks[list(place.values())]), np.float64)
            self.values.update(zip(place, answers.tolist(), strict=True))
        return np.array([self.values[key] for key in keys], np.float32)
