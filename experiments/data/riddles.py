"""Riddles that language models tend to get wrong: a classic puzzle, changed so that it is easy.

``puzzles.csv`` has the columns context, question, human_answer, correct_answer; a question asks
whether a statement is true (Kang et al. 2025 explain an answer to the last one, on a trolley).
"""

from pathlib import Path
from typing import NamedTuple

from spexjax.experiments.data.records import DataError, Row, read_csv

COLUMNS = ["context", "question", "human_answer", "correct_answer"]
_TRUTH = {"TRUE": True, "FALSE": False}


class Riddle(NamedTuple):
    """A story and a statement on it."""

    context: str
    question: str
    """"True or False: …"."""
    human_answer: str
    """In words."""
    correct: bool
    """Whether the statement is true."""


def read_riddles(path: str | Path) -> list[Riddle]:
    """The riddles of a file, in its order.

    Raises:
      DataError: if the file is not in the format; it names the record and the cell.
      OSError: if the file cannot be read.
    """
    rows = read_csv(path, len(COLUMNS))
    if not rows or rows[0].cells != COLUMNS:
        raise DataError(f"{path}: the first line must be {','.join(COLUMNS)}.")
    return [_riddle(row) for row in rows[1:]]


def _riddle(row: Row) -> Riddle:
    truth = _TRUTH.get(row.cells[3].strip().upper())
    if truth is None:
        row.fail(f"correct_answer must be TRUE or FALSE, got {row.cells[3][:20]!r}")
    context, question, answer = (row.filled(i, name) for i, name in enumerate(COLUMNS[:3]))
    return Riddle(context, question, answer, truth)
