"""Which training points a feature stands for: every point alone, or groups that share no point."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Int

from spexjax.typing import ArrayLike

Groups = Sequence[Sequence[int]] | Int[ArrayLike, "points"]


def membership(groups: Groups | None, points: int) -> Int[np.ndarray, "points"]:
    """The feature of every training point, 0 to n − 1.

    Args:
      groups: lists of points, which are numbered from 0; or of every point the number of its
        group, as one array of integers; None for groups of one point.
      points: how many there are.

    Raises:
      ValueError: if a point is in two groups or in none, does not exist, or a group is empty.
    """
    if groups is None:
        return np.arange(points, dtype=np.int32)
    if isinstance(groups, np.ndarray | jax.Array):
        return _numbered(np.asarray(groups), points)
    members = [np.asarray(list(g)) for g in groups]
    for i, group in enumerate(members):
        if not len(group):
            raise ValueError(f"groups must not be empty; group {i} is.")
        if group.dtype.kind not in "iu" or group.min() < 0 or group.max() >= points:
            raise ValueError(f"groups must hold points 0 to {points - 1}; group {i} does not.")
    count = np.bincount(np.concatenate([np.zeros(0, int), *members]), minlength=points)
    if count.max(initial=0) > 1:
        raise ValueError(f"groups must not overlap; in several are {_some(count > 1)}.")
    if not count.all():
        raise ValueError(
            f"groups must hold every point; in none are {_some(count == 0)}. Make these a group of "
            "their own, or train without them."
        )
    found = np.empty(points, np.int32)
    for i, group in enumerate(members):
        found[group] = i
    return found


def _numbered(numbers: np.ndarray, points: int) -> Int[np.ndarray, "points"]:
    if len(numbers) != points or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"groups, as one array, must be {points} integers, one for each training point; got "
            f"{numbers.dtype} {numbers.shape}."
        )
    n = int(numbers.max()) + 1
    if numbers.min() < 0 or not np.bincount(numbers, minlength=n).all():
        raise ValueError("groups, as one array, must number the groups 0, 1, … and leave none out.")
    return numbers.astype(np.int32)


def within_classes(labels: Int[ArrayLike, "points"], count: int, seed: int = 0) -> list[list[int]]:
    """Random groups of about equal size, each of points of one class.

    Args:
      labels: the class of each point.
      count: of groups; every class gets a part that is in proportion to its points.
      seed: of the shuffling.

    Raises:
      ValueError: if there are more classes than groups, or more groups than points.
    """
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    if not len(classes) <= count <= len(labels):
        raise ValueError(
            f"count must be from {len(classes)} classes to {len(labels)} points, got {count}."
        )
    parts = np.ones(len(classes), int)
    while parts.sum() < count:  # to the class whose groups are the largest
        parts[np.argmax(sizes / parts)] += 1
    rng = np.random.default_rng(seed)
    found = []
    for one, part in zip(classes, parts, strict=True):
        points = rng.permutation(np.flatnonzero(labels == one))
        found += [sorted(group.tolist()) for group in np.array_split(points, part)]
    return found


def check_budget(n: int, budget: int) -> None:
    """Refuses fewer retrainings than two for each feature, from which nothing can be told apart.

    Raises:
      ValueError: naming the number of groups that so many retrainings can see.
    """
    if budget < 2 * n:
        raise ValueError(
            f"{budget} retrainings cannot see {n} features: give {2 * n} retrainings, or join the "
            f"points into at most {budget // 2} groups."
        )


def _some(which: np.ndarray) -> str:
    points = np.flatnonzero(which)
    more = f" and {len(points) - 5} more" if len(points) > 5 else ""
    return f"points {', '.join(map(str, points[:5]))}{more}"
