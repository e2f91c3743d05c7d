"""Token ids in padded batches of a few lengths, so that training compiles a handful of programs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

LENGTHS = (8, 16, 32, 64, 192, 512)


class Rows(NamedTuple):
    """Token ids of one padded length, (rows, length), and labels (rows,)."""

    ids: np.ndarray
    labels: np.ndarray


def to_rows(ids: list[list[int]], labels: np.ndarray) -> list[Rows]:
    """Groups token ids by the smallest of ``LENGTHS`` that holds them, padded with 0 = [PAD]."""
    which = np.searchsorted(LENGTHS, [len(row) for row in ids])
    groups = []
    for b in np.unique(which):
        chosen = np.flatnonzero(which == b)
        padded = np.zeros((len(chosen), LENGTHS[b]), np.int32)
        for r, i in enumerate(chosen):
            padded[r, : len(ids[i])] = ids[i]
        groups.append(Rows(padded, labels[chosen]))
    return groups


def windows(ids: list[list[int]], size: int, rng: np.random.Generator) -> list[list[int]]:
    """A random stretch of ``size`` tokens of each text, between its [CLS] and [SEP]."""
    out = []
    for row in ids:
        start = rng.integers(1, max(len(row) - size, 1) + 1)
        out.append([row[0], *row[start:-1][: size - 2], row[-1]])
    return out


def batches(groups: list[Rows], tokens: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Shuffled batches of about ``tokens`` tokens; what does not fill one is left out."""
    todo = []
    for g, group in enumerate(groups):
        size = max(tokens // group.ids.shape[1], 8)
        order = rng.permutation(len(group.labels))
        todo += [(g, order[i : i + size]) for i in range(0, len(order) - size + 1, size)]
    for i in rng.permutation(len(todo)):
        g, chosen = todo[i]
        yield Rows(groups[g].ids[chosen], groups[g].labels[chosen])


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids with [CLS] and [SEP], cut to the longest of ``LENGTHS``."""
    ids = [e.ids for e in tokenizer.encode_batch(texts)]
    return [row if len(row) <= LENGTHS[-1] else [*row[: LENGTHS[-1] - 1], row[-1]] for row in ids]


def padded_length(length: int) -> int:
    """The smallest of ``LENGTHS`` that holds ``length`` tokens."""
    return LENGTHS[np.searchsorted(LENGTHS, length)]
