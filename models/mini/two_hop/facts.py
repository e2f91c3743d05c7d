"""Worlds of short facts, and questions that need one of them or two: the two-hop model's data.

A world is a list of sentences in random order,

    The violinist lives in Brno. Leeds sells fine wool. The clerk works in Leeds. Brno lies in …

in which people live in a town or work in one, and towns lie in a region or sell something. Who
lives where is drawn anew for every world, so that nothing can be known but from the sentences.
One-hop questions ask for the object of a fact ("Where does the violinist live today?"), two-hop
questions for that of a fact about the object of another ("What does the town where the violinist
lives sell?"). The other sentences distract: they are of the same kinds, and many are chains
themselves. A question whose fact is missing or masked has the answer "unknown".

A fact is *held out* if the numbers of its subject and of its object add up to a multiple of 8:
training never shows it, tests ask only for such facts.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spexjax.models.mini.two_hop.grammar import (
    FACT_TOKENS,
    IDS,
    QUESTION_TOKENS,
    TWO_HOPS,
    VOCABULARY,
    filled,
    text_of,
)
from spexjax.models.mini.two_hop.names import GOODS, PEOPLE, REGIONS, TOWNS

HELD_OUT = 8
_SPREAD = 0.7  # subjects per fact: each could have two


class Worlds(NamedTuple):
    """``rows`` worlds of n facts about h people and k towns.

    Attributes:
      tokens: int32, (rows, n, 6), each sentence's tokens, [PAD] in front of short ones.
      held_out: bool, (rows, n), facts that training must not show.
      people: int32, (rows, h), their tokens.
      towns: int32, (rows, k), likewise.
      home: int32, (rows, h, 2), the number among ``towns`` of where one lives and works.
      person_fact: int32, (rows, h, 2), the sentence that says so, −1 if none does.
      town_fact: int32, (rows, k, 2), the sentence of a town's region and of its good, or −1.
      objects: int32, (rows, k, 2), tokens of the region and of the good.
    """

    tokens: np.ndarray
    held_out: np.ndarray
    people: np.ndarray
    towns: np.ndarray
    home: np.ndarray
    person_fact: np.ndarray
    town_fact: np.ndarray
    objects: np.ndarray


class Questions(NamedTuple):
    """Questions about each of ``rows`` worlds, arrays (rows, number).

    Attributes:
      kind: int32, the place in ``QUESTIONS``.
      subject: int32, a token.
      answer: int32, the true answer's token, whether or not the world's sentences tell it.
      facts: int32, (rows, number, 2), the sentences it takes, −1 where there is none; those of
        one hop have the same one twice.
    """

    kind: np.ndarray
    subject: np.ndarray
    answer: np.ndarray
    facts: np.ndarray


class Example(NamedTuple):
    """A world and a question as text, and the sentences that answer it."""

    sentences: tuple[str, ...]
    question: str
    answer: str
    supporting: tuple[int, ...]

    @property
    def context(self) -> str:
        """The sentences in one line."""
        return " ".join(self.sentences)


def _subsets(rng: np.random.Generator, rows: int, size: int, count: int) -> np.ndarray:
    """``count`` different numbers below ``size`` for each row, in random order."""
    return np.argsort(rng.random((rows, size)), axis=1)[:, :count]


def draw_worlds(rng: np.random.Generator, rows: int, n: int) -> Worlds:
    """Worlds of n sentences, a third to two thirds of which are about people."""
    about_people = int(rng.integers(n // 3, n - n // 3 + 1))
    about_towns = n - about_people
    h, k = int(np.ceil(_SPREAD * about_people)), int(np.ceil(_SPREAD * about_towns))
    people, towns = _subsets(rng, rows, len(PEOPLE), h), _subsets(rng, rows, len(TOWNS), k)
    home = rng.integers(k, size=(rows, h, 2))
    objects = np.stack([_subsets(rng, rows, len(names), k) for names in (REGIONS, GOODS)], axis=-1)
    their_towns = np.take_along_axis(towns, home.reshape(rows, -1), 1).reshape(home.shape)
    first = [IDS[names[0]] for names in (PEOPLE, TOWNS, REGIONS, GOODS)]

    def facts(subjects: np.ndarray, objects: np.ndarray, kinds: tuple[int, int], count: int):
        """``count`` of the pairs of subject and kind: kind, subject, object, held out; place."""
        pairs = _subsets(rng, rows, 2 * subjects.shape[1], count)
        kind = np.array(kinds)[pairs % 2]
        subject = np.take_along_axis(subjects, pairs // 2, 1)
        thing = np.take_along_axis(objects.reshape(rows, -1), pairs, 1)
        return pairs, np.stack([kind, subject, thing, (subject + thing) % HELD_OUT == 0], -1)

    their_pairs, theirs = facts(people, their_towns, (0, 1), about_people)
    town_pairs, of_towns = facts(towns, objects, (2, 3), about_towns)
    place = np.argsort(rng.random((rows, n)), axis=1)  # where each fact stands

    def where(pairs: np.ndarray, places: np.ndarray, subjects: int) -> np.ndarray:
        found = np.full((rows, 2 * subjects), -1)
        np.put_along_axis(found, pairs, places, 1)
        return found.reshape(rows, subjects, 2).astype(np.int32)

    drawn = np.empty((rows, n, 4), np.int64)
    np.put_along_axis(drawn, place[..., None], np.concatenate([theirs, of_towns], 1), 1)
    kind, subject, thing, held_out = np.moveaxis(drawn, -1, 0)
    tokens = filled(
        FACT_TOKENS[kind],
        subject + np.where(kind < 2, first[0], first[1]),
        thing + np.choose(kind, [first[1], first[1], first[2], first[3]]),
    )
    return Worlds(
        tokens=tokens,
        held_out=held_out.astype(bool),
        people=(people + first[0]).astype(np.int32),
        towns=(towns + first[1]).astype(np.int32),
        home=home.astype(np.int32),
        person_fact=where(their_pairs, place[:, :about_people], h),
        town_fact=where(town_pairs, place[:, about_people:], k),
        objects=(objects + np.array(first[2:])).astype(np.int32),
    )


def all_questions(worlds: Worlds) -> Questions:
    """Every question about the people and towns of each world, answerable or not."""
    rows, h, k = len(worlds.people), worlds.people.shape[1], worlds.towns.shape[1]
    town = worlds.home.reshape(rows, -1)  # (person, how)

    def of_town(values: np.ndarray) -> np.ndarray:
        """(rows, k, 2) to (rows, person, how, what)."""
        return np.take_along_axis(values, town[..., None], 1).reshape(rows, h, 2, 2)

    second = of_town(worlds.town_fact)
    first = np.broadcast_to(worlds.person_fact[..., None], second.shape)
    kinds = [np.broadcast_to([0, 1], (rows, h, 2)), np.broadcast_to([2, 3], (rows, k, 2)),
             np.broadcast_to([[4, 5], [6, 7]], (rows, h, 2, 2))]  # fmt: skip
    subjects = [np.broadcast_to(worlds.people[..., None], kinds[0].shape),
                np.broadcast_to(worlds.towns[..., None], kinds[1].shape),
                np.broadcast_to(worlds.people[..., None, None], kinds[2].shape)]  # fmt: skip
    answers = [np.take_along_axis(worlds.towns, town, 1), worlds.objects, of_town(worlds.objects)]
    firsts, seconds = [[worlds.person_fact, worlds.town_fact, part] for part in (first, second)]

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([p.reshape(rows, -1) for p in parts], 1).astype(np.int32)

    return Questions(
        joined(kinds), joined(subjects), joined(answers),
        np.stack([joined(firsts), joined(seconds)], -1),
    )  # fmt: skip


def told(facts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Whether the sentences that are kept, (rows, n), answer questions: bool, (rows, number)."""
    rows = np.arange(len(kept))[:, None, None]
    return ((facts >= 0) & kept[rows, facts]).all(-1)


def choose(questions: Questions, chosen: np.ndarray) -> Questions:
    """The questions of the numbers ``chosen``, (rows, number)."""
    rows = np.arange(len(chosen))[:, None]
    return Questions(*(part[rows, chosen] for part in questions))


def question_tokens(questions: Questions) -> np.ndarray:
    """Token ids, (rows, number, 10), [PAD] in front."""
    return filled(QUESTION_TOKENS[questions.kind], questions.subject, questions.answer)


def held_out_examples(seed: int, n: int, hops: int) -> Iterator[Example]:
    """Questions about worlds of n sentences whose facts were all held out, one of each world.

    Args:
      seed: of everything drawn.
      n: sentences, at least 3.
      hops: 1 or 2.
    """
    rng = np.random.default_rng([seed, n, hops])
    while True:
        worlds = draw_worlds(rng, 64, n)
        asked = all_questions(worlds)
        good = told(asked.facts, worlds.held_out) & ((asked.kind >= TWO_HOPS) == (hops == 2))
        pick = np.argmax(good * rng.random(good.shape), axis=1)
        one = choose(asked, pick[:, None])
        asking = question_tokens(one)
        for row in np.flatnonzero(good.any(1)):
            yield Example(
                sentences=tuple(text_of(s) for s in worlds.tokens[row]),
                question=text_of(asking[row, 0]),
                answer=VOCABULARY[one.answer[row, 0]],
                supporting=tuple(sorted(set(one.facts[row, 0].tolist()))),
            )
