"""The language of the two-hop model: its words, and the templates of facts and questions."""

import numpy as np

from spexjax.models.mini.two_hop.names import GOODS, PEOPLE, REGIONS, TOWNS
from spexjax.models.mini.word_level import SPECIAL

UNKNOWN = "unknown"
# {0} is the subject and {1} the object, three tokens later; a question mark, too, comes three
# tokens after the subject. So what a model learns about facts helps it to read questions.
FACTS = (
    "The {0} lives in {1} .",
    "The {0} works in {1} .",
    "{0} lies in {1} .",
    "{0} sells fine {1} .",
)
# One hop from a person, one hop from a town, two hops: through where one lives or works.
QUESTIONS = (
    "Where does the {0} live today ?",
    "Where does the {0} work today ?",
    "Where does {0} now lie ?",
    "What does {0} now sell ?",
    "Where does the town where the {0} lives lie ?",
    "What does the town where the {0} lives sell ?",
    "Where does the town where the {0} works lie ?",
    "What does the town where the {0} works sell ?",
)
TWO_HOPS = 4  # the first of QUESTIONS that takes two
QUESTION_LENGTH = 10
SENTENCE_LENGTH = 6


def _words() -> tuple[str, ...]:
    plain = {w for line in FACTS + QUESTIONS for w in line.split() if "{" not in w}
    return (*SPECIAL, *sorted(plain), UNKNOWN, *PEOPLE, *TOWNS, *REGIONS, *GOODS)


VOCABULARY = _words()
IDS = {word: i for i, word in enumerate(VOCABULARY)}
PAD, UNK, BOS, EOS = range(len(SPECIAL))
_SUBJECT, _OBJECT = -1, -2


def _table(lines: tuple[str, ...], length: int) -> np.ndarray:
    """Token ids of templates, (lines, length), [PAD] in front, −1 and −2 where names belong."""
    slots = {"{0}": _SUBJECT, "{1}": _OBJECT}
    rows = [[slots.get(w) or IDS[w] for w in line.split()] for line in lines]
    return np.array([[PAD] * (length - len(row)) + row for row in rows], np.int32)


FACT_TOKENS = _table(FACTS, SENTENCE_LENGTH)
QUESTION_TOKENS = _table(QUESTIONS, QUESTION_LENGTH)


def filled(template: np.ndarray, subject: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """Templates' token ids with the tokens of a subject and an object in their places."""
    out = np.where(template == _SUBJECT, subject[..., None], template)
    return np.where(out == _OBJECT, thing[..., None], out).astype(np.int32)


def text_of(tokens: np.ndarray) -> str:
    """Tokens as text."""
    words = " ".join(VOCABULARY[t] for t in tokens.tolist() if t != PAD)
    return words.replace(" .", ".").replace(" ?", "?")
