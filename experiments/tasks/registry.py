"""The tasks by name: what the experiments explain.

A task is a module with ``GROUPS``, the names of its groups, and ``items(config)``, which yields
the :class:`~spexjax.experiments.tasks.item.Item` of those that are asked for. Any experiment runs
on any task; ``recovery`` uses the items that know which inputs support the answer.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from spexjax.experiments.tasks import (
    cifar10,
    drop,
    hotpotqa,
    photographs,
    riddles,
    sentiment,
    synthetic,
    tabular,
    two_hop,
)
from spexjax.experiments.tasks.item import Item, TaskConfig, known


class Task(NamedTuple):
    """The names of a task's groups, and its items by group, in the order asked for."""

    groups: tuple[str, ...]
    items: Callable[[TaskConfig], Iterator[Item]]


TASKS = {
    "synthetic": Task(synthetic.GROUPS, synthetic.items),
    "tabular": Task(tabular.GROUPS, tabular.items),
    "sentiment": Task(sentiment.GROUPS, sentiment.items),
    "hotpotqa": Task(hotpotqa.GROUPS, hotpotqa.items),
    "drop": Task(drop.GROUPS, drop.items),
    "riddles": Task(riddles.GROUPS, riddles.items),
    "two-hop": Task(two_hop.GROUPS, two_hop.items),
    "vqa": Task(photographs.GROUPS, photographs.questions),
    "caption": Task(photographs.GRIDS, photographs.captions),
    "cifar10": Task(cifar10.GROUPS, cifar10.items),
}


def items(config: TaskConfig) -> Iterator[Item]:
    """The items that a configuration asks for.

    Raises:
      ValueError: if the task or a group is unknown; the nearest name is suggested.
    """
    task = TASKS[known("task", config.name, TASKS)]
    for group in config.groups:
        known("group", group, task.groups)
    return task.items(config)
