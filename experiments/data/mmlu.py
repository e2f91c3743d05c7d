"""MMLU: questions of 57 subjects with four choices.

The official folders ``dev``, ``val`` and ``test`` (Hendrycks et al. 2021, Measuring Massive
Multitask Language Understanding, ICLR) hold ``SUBJECT_SPLIT.csv`` without a header: question,
four choices, the letter of the right one.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from spexjax.experiments.data.records import DataError, Row, read_csv

Split = Literal["dev", "val", "test"]
LETTERS = "ABCD"


class Question(NamedTuple):
    """A question with four choices."""

    subject: str
    """As in the file's name: ``abstract_algebra``."""
    number: int
    """Counts a subject's questions from 0."""
    question: str
    choices: tuple[str, str, str, str]
    answer: str
    """The letter of the right choice."""

    @property
    def right(self) -> int:
        """The position of the right choice."""
        return LETTERS.index(self.answer)


def subjects(folder: str | Path, split: Split = "test") -> list[str]:
    """The subjects of a split, sorted.

    Args:
      folder: holds the folders of the splits.
      split: "dev" (five questions each, for prompts), "val" or "test".

    Raises:
      ValueError: if there is no such split.
      FileNotFoundError: if there is no file of the split.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}, got {split!r}.")
    end = f"_{split}.csv"
    found = sorted(path.name.removesuffix(end) for path in (Path(folder) / split).glob(f"?*{end}"))
    if not found:
        raise FileNotFoundError(f"{Path(folder) / split} has no file SUBJECT{end}.")
    return found


def read_mmlu(
    folder: str | Path, split: Split = "test", only: Collection[str] = ()
) -> list[Question]:
    """The questions of a split, by subject and in the order of the files.

    Args:
      folder: holds the folders of the splits.
      split: "dev", "val" or "test".
      only: subjects; all that there are if empty.

    Raises:
      ValueError: if there is no such split or subject.
      DataError: if a file is not in the format; it names the record and the cell.
      FileNotFoundError: if there is no file of the split.
    """
    there = subjects(folder, split)
    for subject in only:
        if subject not in there:
            raise ValueError(f"{folder}: subjects are {', '.join(there)}, got {subject!r}.")
    files = {s: Path(folder) / split / f"{s}_{split}.csv" for s in there if not only or s in only}
    return [question for s, path in files.items() for question in read_subject(path, s)]


def read_subject(path: str | Path, subject: str) -> list[Question]:
    """The questions of one file.

    Raises:
      DataError: if the file is not in the format or has no question.
      OSError: if the file cannot be read.
    """
    rows = read_csv(path, columns=6)
    if not rows:
        raise DataError(f"{path}: there must be a question.")
    return [_question(row, subject) for row in rows]


def _question(row: Row, subject: str) -> Question:
    question, a, b, c, d, answer = row.cells
    row.filled(0, "the question")
    if answer not in tuple(LETTERS):
        row.fail(f"the answer must be A, B, C or D, got {answer[:20]!r}")
    return Question(subject, row.number - 1, question, (a, b, c, d), answer)
