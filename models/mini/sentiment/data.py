"""The embedded classifier's texts: SST-2 phrases and IMDB reviews, split without leaks.

SST-2's training file holds sentences and phrases cut out of them, so a random split would put
parts of a held-out sentence into training. Here whole sentences are held out, and every phrase
that occurs in one of them is dropped from training.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

_NEGATIONS = "not no never n't neither nor nothing none nobody nowhere without hardly barely cannot"
NEGATIONS = frozenset(_NEGATIONS.split())


class Examples(NamedTuple):
    """Texts and their labels, 1 = positive."""

    texts: list[str]
    labels: np.ndarray


class Split(NamedTuple):
    """What is trained on and what checkpoint and settings are chosen on."""

    train: Examples
    held_out: Examples


def read_sst2(path: str | Path) -> Examples:
    """Reads ``sentence<TAB>label`` lines below a header."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()[1:]
    pairs = [line.rsplit("\t", 1) for line in lines if line.strip()]
    texts = [" ".join(text.split()) for text, _ in pairs]
    return Examples(texts, np.array([int(label) for _, label in pairs], np.int32))


def read_imdb(path: str | Path) -> Examples:
    """Reads ``Sentiment<TAB>Text`` rows (quoted as a spreadsheet does), Positive or Negative."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, dialect="excel-tab"))
    texts = [" ".join(row["Text"].replace("<br />", " ").split()) for row in table]
    labels = [int(row["Sentiment"].strip() == "Positive") for row in table]
    return Examples(texts, np.array(labels, np.int32))


def has_negation(text: str) -> bool:
    """Whether one of the words of a tokenized sentence negates."""
    return any(word in NEGATIONS or word.endswith("n't") for word in text.lower().split())


def select(examples: Examples, keep: np.ndarray) -> Examples:
    """The examples that the bool array ``keep`` marks."""
    return Examples([t for t, k in zip(examples.texts, keep, strict=True) if k],
                    examples.labels[keep])  # fmt: skip


def split_sentences(phrases: Examples, count: int, rng: np.random.Generator) -> Split:
    """Holds out ``count`` whole sentences and drops every phrase that occurs in one of them.

    A random phrase stands for the longest text that contains it, its sentence.
    """
    by_text = dict(zip(phrases.texts, phrases.labels.tolist(), strict=True))
    longest_first = sorted(by_text, key=len, reverse=True)
    chosen: dict[str, int] = {}
    for i in rng.permutation(len(phrases.texts)):
        text = phrases.texts[i]
        if len(text.split()) < 6:
            continue
        sentence = next(t for t in longest_first if text in t)
        chosen[sentence] = by_text[sentence]
        if len(chosen) == count:
            break
    held_out = Examples(list(chosen), np.array(list(chosen.values()), np.int32))
    blob = "\n".join(f" {text} " for text in chosen)
    keep = np.array([f" {text} " not in blob for text in phrases.texts])
    return Split(select(phrases, keep), held_out)
