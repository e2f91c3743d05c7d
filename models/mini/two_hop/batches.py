"""Batches of worlds and questions as token ids, with sentences masked as explaining masks them."""

from typing import NamedTuple

import numpy as np

from spexjax.models.mini.two_hop.facts import (
    all_questions,
    choose,
    draw_worlds,
    question_tokens,
    told,
)
from spexjax.models.mini.two_hop.grammar import (
    BOS,
    EOS,
    IDS,
    PAD,
    SENTENCE_LENGTH,
    TWO_HOPS,
    UNK,
    UNKNOWN,
)

_ONE_UNK, _MANY_UNK, _NOTHING = range(3)  # what a masked sentence becomes


class Batch(NamedTuple):
    """``rows`` contexts and, of each, a number of questions that do not see each other.

    Attributes:
      context: int32, (rows, S), [BOS] and the sentences, [PAD] behind.
      questions: int32, (rows, number, 11), [PAD] in front, then the question and its answer.
      answers: int32, (rows, number, 2), what follows the last two tokens: the answer and [EOS].
      known: bool, (rows, number), whether the context tells the answer.
      two_hops: bool, (rows, number).
    """

    context: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    known: np.ndarray
    two_hops: np.ndarray


def context_length(n: int) -> int:
    """Tokens that [BOS] and n sentences take at most."""
    return 1 + SENTENCE_LENGTH * n


def masked_context(
    rng: np.random.Generator, tokens: np.ndarray, there: np.ndarray, masked: np.ndarray, length: int
) -> np.ndarray:
    """The token ids of worlds some of whose sentences are left out or masked.

    In each row, a masked sentence becomes one [UNK], or an [UNK] for each of its tokens, or
    nothing, which of them is drawn.

    Args:
      rng: draws.
      tokens: int32, (rows, n, 6).
      there: bool, (rows, n), False leaves a sentence out.
      masked: bool, (rows, n).
      length: of the rows returned.
    """
    rows, _, size = tokens.shape
    style = rng.integers(3, size=(rows, 1))
    tokens = np.where((masked & (style == _MANY_UNK))[..., None] & (tokens != PAD), UNK, tokens)
    single = np.full(size, PAD)
    single[-1] = UNK
    tokens = np.where((masked & (style == _ONE_UNK))[..., None], single, tokens)
    tokens = np.where((~there | (masked & (style == _NOTHING)))[..., None], PAD, tokens)
    flat = np.concatenate([np.full((rows, 1), BOS), tokens.reshape(rows, -1)], axis=1)
    order = np.argsort(flat == PAD, axis=1, kind="stable")
    flat = np.take_along_axis(flat, order, 1)
    return np.pad(flat, ((0, 0), (0, length - flat.shape[1]))).astype(np.int32)


def draw_batch(
    rng: np.random.Generator,
    rows: int,
    n: int,
    number: int,
    length: int,
    two_hops: float = 0.5,
    mask_rows: float = 0.5,
    unknown: float = 0.2,
) -> Batch:
    """Training data: worlds without the facts that are held out.

    Args:
      rng: draws.
      rows: number of worlds.
      n: sentences of each.
      number: questions about each.
      length: tokens of the contexts returned, at least ``context_length(n)``.
      two_hops: share of questions with two hops, about.
      mask_rows: share of the worlds in which sentences are masked, each with a probability drawn
        for that world.
      unknown: how likely a question without an answer is asked, compared with one that has one.
    """
    worlds = draw_worlds(rng, rows, n)
    there = ~worlds.held_out
    rate = rng.random((rows, 1)) * (rng.random((rows, 1)) < mask_rows)
    masked = rng.random((rows, n)) < rate
    asked = all_questions(worlds)
    known = told(asked.facts, there & ~masked)
    two = asked.kind >= TWO_HOPS
    share = np.where(two, two_hops / two.mean(1, keepdims=True),
                     (1 - two_hops) / (~two).mean(1, keepdims=True))  # fmt: skip
    weight = share * np.where(known, 1.0, unknown) + 1e-9
    drawn = np.argsort(-np.log(weight) - rng.gumbel(size=weight.shape), axis=1)[:, :number]
    chosen, known = choose(asked, drawn), np.take_along_axis(known, drawn, 1)
    answer = np.where(known, chosen.answer, IDS[UNKNOWN]).astype(np.int32)
    questions = question_tokens(chosen)
    return Batch(
        context=masked_context(rng, worlds.tokens, there, masked, length),
        questions=np.concatenate([questions, answer[..., None]], -1),
        answers=np.stack([answer, np.full_like(answer, EOS)], -1),
        known=known,
        two_hops=chosen.kind >= TWO_HOPS,
    )
