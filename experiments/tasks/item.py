"""An item: one function to explain, and which of a task's items are wanted."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from spexjax.typing import ValueFunction


@dataclass(frozen=True)
class TaskConfig:
    """Which items are wanted."""

    name: Annotated[str, tyro.conf.arg(name="task")] = "sentiment"
    """One of synthetic, tabular, sentiment, hotpotqa, drop, riddles, two-hop, vqa, caption,
    cifar10."""
    groups: tuple[str, ...] = ()
    """A choice of the task's groups, such as 8-15 or flat-64; all of them if empty."""
    per_group: int = 2
    """Items of each group, fewer where there are not so many."""
    seed: int = 0
    """Shuffles them. A larger ``per_group`` begins with the same items."""
    data: str | None = None
    """A folder of data sets, for tasks that read one; $SPEXJAX_DATA if not given."""
    model: str | None = None
    """A model's folder or hub id, for tasks that use one; the package's own if not given."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """What a language model computes in; float32, on accelerators bfloat16, if not given."""


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


def chosen(config: TaskConfig, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups asked for."""
    return config.groups or groups


def known(what: str, name: str, names: Iterable[str]) -> str:
    """The name, if it is one of the names.

    Raises:
      ValueError: if it is not; the nearest one is suggested.
    """
    names = tuple(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}{hint}")
    return name
