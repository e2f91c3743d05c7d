"""Scenes of shapes, questions about them, and their true answers.

No two objects of a scene are alike. What is not there, or masked, cannot be seen: then a question
about the place of an object has the answer "unknown", and what is counted is what is there.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from spexjax.models.mini.vqa import grammar as g

_HELD_OUT = 1 / 8


class Asked(NamedTuple):
    """Questions about scenes.

    Attributes:
      kind: int (…), a place in ``grammar.QUESTIONS``.
      first, second: int (…, 2), colour and noun of what is asked about.
    """

    kind: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Truth(NamedTuple):
    """What is true of scenes that are asked about.

    Attributes:
      answer: int32 (…), the token of the answer.
      matches: bool (…, 2, 36), the cells that fit what is asked about first and second.
      known: bool (…), whether what is asked about is there.
      across, down: int (…), 0, 1, 2 if the first is left of, in the column of, right of the
        second; the same for rows; 3 if that is not known.
    """

    answer: np.ndarray
    matches: np.ndarray
    known: np.ndarray
    across: np.ndarray
    down: np.ndarray


class Example(NamedTuple):
    """A scene and a question that training did not show.

    Attributes:
      objects: (36,), the object in each cell, −1 for none.
      kind: of the question.
      question, answer: texts.
      cells: those that the answer rests on.
    """

    objects: tuple[int, ...]
    kind: int
    question: str
    answer: str
    cells: tuple[int, ...]


def _held_out() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of objects, (20, 20), and single objects for each question, (questions, 20)."""
    rng = np.random.default_rng(7)
    pairs = np.triu(rng.random((g.KINDS, g.KINDS)) < _HELD_OUT, 1)
    return pairs | pairs.T, rng.random((len(g.QUESTIONS), g.KINDS)) < _HELD_OUT


PAIRS_HELD_OUT, SINGLES_HELD_OUT = _held_out()


def draw_scenes(rng: np.random.Generator, rows: int, least: int, most: int) -> np.ndarray:
    """Scenes of ``least`` to ``most`` objects, int (rows, 36), −1 for empty cells."""
    number = rng.integers(least, most + 1, (rows, 1))
    kinds = np.argsort(rng.random((rows, g.KINDS)), axis=1)
    kinds = np.where(np.arange(g.KINDS) < number, kinds, -1)
    filled = np.pad(kinds, ((0, 0), (0, g.CELLS - g.KINDS)), constant_values=-1)
    return rng.permuted(filled, axis=1)


def matches(scenes: np.ndarray, what: np.ndarray, coloured: np.ndarray) -> np.ndarray:
    """The cells, bool (rows, questions, 36), that fit a colour and a noun.

    Args:
      scenes: (rows, 36).
      what: (rows, questions, 2); a noun of ``len(SHAPES)`` is any.
      coloured: (rows, questions), whether the colour is asked for.
    """
    shown = scenes[:, None]
    colour, shape = shown // len(g.SHAPES), shown % len(g.SHAPES)
    fits = (colour == what[..., :1]) | ~coloured[..., None]
    fits &= (shape == what[..., 1:]) | (what[..., 1:] == len(g.SHAPES))
    return fits & (shown >= 0)


def truth(scenes: np.ndarray, asked: Asked) -> Truth:
    """What is true of scenes, (rows, 36), in which masked cells are empty."""
    kind = asked.kind
    two = kind <= g.BELOW
    coloured = ~np.isin(kind, (g.IS_ANY, g.COUNT_ANY))
    first = matches(scenes, asked.first, coloured)
    second = matches(scenes, asked.second, two) & two[..., None]
    number = first.sum(-1)
    known = np.where(two, first.any(-1) & second.any(-1), (kind < g.COLUMN) | (number > 0))
    (row, col), (row2, col2) = (divmod(np.argmax(m, -1), g.SIDE) for m in (first, second))
    across, down = 1 + np.sign(col - col2), 1 + np.sign(row - row2)
    both = two & known
    says = np.select(
        [kind == g.LEFT, kind == g.RIGHT, kind == g.ABOVE, kind == g.BELOW],
        [across == 0, across == 2, down == 0, down == 2],
        number > 0,
    )
    counted = np.select([kind == g.COLUMN, kind == g.ROW], [col + 1, row + 1], number)
    answer = np.where(kind <= g.IS_ANY, np.where(says, g.YES, g.NO), g.NUMBER_IDS[counted % 10])
    return Truth(
        np.where(known, answer, g.NOT_SEEN).astype(np.int32), np.stack([first, second], -2), known,
        np.where(both, across, 3), np.where(both, down, 3),
    )  # fmt: skip


def draw_questions(rng: np.random.Generator, scenes: np.ndarray, number: int) -> Asked:
    """Questions for training: of what is in a scene, mostly, and nothing that is held out."""
    rows = len(scenes)
    shape = (rows, number)
    share = np.array([2.4, 2.4, 2.4, 2.4, 1, 0.7, 1, 1.5, 1, 1])
    kind = rng.choice(len(g.QUESTIONS), shape, p=share / share.sum())
    order = np.argsort((scenes < 0)[:, None] + rng.random((*shape, g.CELLS)), axis=-1)[..., :2]
    inside = np.take_along_axis(scenes[:, None], order, -1)
    other = rng.integers(g.KINDS, size=(*shape, 2))
    absent = np.where((kind == g.IS_THERE) | (kind == g.COUNT), 0.5, 0.06)[..., None]
    objects = np.where((inside < 0) | (rng.random((*shape, 2)) < absent), other, inside)
    one, two = objects[..., 0], objects[..., 1]
    pair = kind <= g.BELOW
    kind = np.where(pair & (PAIRS_HELD_OUT[one, two] | (one == two)), g.COUNT_ANY, kind)
    colour, noun = divmod(one, len(g.SHAPES))
    plain = np.isin(kind, (g.IS_ANY, g.COUNT_ANY))
    wide = (kind == g.COUNT) & (rng.random(shape) < 0.7)
    wide |= (kind == g.IS_THERE) & (rng.random(shape) < 0.3)
    held = SINGLES_HELD_OUT[kind, one] & ~pair & ~plain & ~wide
    kind = np.where(held & (kind >= g.COLUMN), g.IS_THERE, kind)
    noun = np.where(wide | held, len(g.SHAPES), noun)
    return Asked(kind, np.stack([colour, noun], -1), np.stack(divmod(two, len(g.SHAPES)), -1))


def held_out_examples(
    seed: int, least: int, most: int, kinds: tuple[int, ...] = (), known: bool = True
) -> Iterator[Example]:
    """Scenes and questions whose objects, or pairs of objects, training never asked about so.

    Questions that name no colour or no shape have nothing that could be held out; they are asked
    about new scenes.

    Args:
      seed: of all draws.
      least, most: objects in a scene.
      kinds: of questions, in turn; all of them if empty.
      known: whether to ask about the places of what is there only.
    """
    kinds = kinds or tuple(range(len(g.QUESTIONS)))
    for i in count():
        rng = np.random.default_rng([seed, i])
        kind = np.array([[kinds[i % len(kinds)]]])
        while True:
            scene = draw_scenes(rng, 1, least, most)
            asked = _one(rng, scene, kind)
            true = truth(scene, asked)
            if true.known.all() or not known:
                break
        tokens = g.question_tokens(*asked)[0, 0]
        yield Example(
            tuple(scene[0].tolist()), int(kind[0, 0]), g.text_of(tokens),
            g.VOCABULARY[int(true.answer[0, 0])],
            tuple(np.flatnonzero(true.matches[0, 0].any(0)).tolist()),
        )  # fmt: skip


def _one(rng: np.random.Generator, scene: np.ndarray, kind: np.ndarray) -> Asked:
    """One question that is held out."""
    which = int(kind[0, 0])
    there = scene[scene >= 0]
    if which <= g.BELOW:
        pairs = [(a, b) for a in there for b in there if PAIRS_HELD_OUT[a, b]]
        if not pairs:
            pairs = [(a, b) for a, b in np.argwhere(PAIRS_HELD_OUT) if a in there]
        objects = np.array(pairs)[rng.integers(len(pairs))]
    else:
        held = np.flatnonzero(SINGLES_HELD_OUT[which])
        seen = held[np.isin(held, there)]
        pick = seen if len(seen) and rng.random() < 0.5 else held
        one = rng.choice(pick if which not in (g.IS_ANY, g.COUNT_ANY) else np.arange(g.KINDS))
        objects = np.array([one, 0])
    what = np.stack(divmod(objects, len(g.SHAPES)), -1)[None, None]
    if which == g.COUNT and rng.random() < 0.5:
        what[..., 1] = len(g.SHAPES)
    return Asked(kind, what[:, :, 0], what[:, :, 1])
