"""Batches of pictures and questions, with cells masked as explaining masks them."""

from typing import NamedTuple

import numpy as np

from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.drawing import masked, pictures, replaced
from spexjax.models.mini.vqa.scenes import draw_questions, draw_scenes, truth


class Batch(NamedTuple):
    """``rows`` pictures and, of each, a number of questions that do not see each other.

    Attributes:
      images: float32, (rows, 48, 48, 3), from −1 to 1.
      objects: int32, (rows, 36), what is seen in each cell; 20 for nothing.
      questions: int32, (rows, number, 11), [PAD] in front, then the question and its answer.
      answers: int32, (rows, number, 2), what follows the last two tokens: the answer and [EOS].
      kind: int32, (rows, number), of the questions.
      nouns: int32, (rows, number, 2), where the nouns stand; −1 for none.
      matches: bool, (rows, number, 2, 36), the cells that fit them.
      across, down: int32, (rows, number), see :class:`~spexjax.models.mini.vqa.scenes.Truth`.
    """

    images: np.ndarray
    objects: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    kind: np.ndarray
    nouns: np.ndarray
    matches: np.ndarray
    across: np.ndarray
    down: np.ndarray


def draw_batch(
    rng: np.random.Generator, rows: int, number: int, least: int, most: int, mask_rows: float = 0.5
) -> Batch:
    """Training data, without what is held out.

    Args:
      rng: draws.
      rows: number of pictures.
      number: questions about each.
      least, most: objects of each.
      mask_rows: share of the pictures in which cells are masked, each with a probability drawn
        for that picture.
    """
    scenes = draw_scenes(rng, rows, least, most)
    asked = draw_questions(rng, scenes, number)
    images = pictures(rng, scenes)
    rate = rng.random((rows, 1)) * (rng.random((rows, 1)) < mask_rows)
    kept = rng.random(scenes.shape) >= rate
    seen = np.where(kept, scenes, -1)
    true = truth(seen, asked)
    images = masked(images, replaced(rng, images), kept)
    questions = g.question_tokens(*asked)
    return Batch(
        images=(images / 127.5 - 1).astype(np.float32),
        objects=np.where(seen < 0, g.KINDS, seen).astype(np.int32),
        questions=np.concatenate([questions, true.answer[..., None]], -1),
        answers=np.stack([true.answer, np.full_like(true.answer, g.EOS)], -1),
        kind=asked.kind.astype(np.int32),
        nouns=g.NOUNS[asked.kind],
        matches=true.matches,
        across=true.across.astype(np.int32),
        down=true.down.astype(np.int32),
    )
