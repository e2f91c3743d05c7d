"""The language of the model that looks: colours, shapes, and the templates of questions."""

import numpy as np

from spexjax.models.mini.word_level import SPECIAL

IMAGE, AROUND, WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"
COLOURS = ("red", "green", "blue", "yellow", "purple")
SHAPES = ("circle", "square", "triangle", "cross")
PLURALS = ("circles", "squares", "triangles", "crosses")
ANY, ANY_PLURAL = "shape", "shapes"
UNKNOWN = "unknown"
SIDE = 6
"""Cells along each side of a picture."""
CELLS = SIDE * SIDE
KINDS = len(COLOURS) * len(SHAPES)
"""Objects that differ: one of each colour and shape. Object i has colour i // 4 and shape i % 4."""

# {0} {1} and {2} {3} are a colour and a noun; {4} is a noun in the plural.
QUESTIONS = (
    "Is the {0} {1} left of the {2} {3} ?",
    "Is the {0} {1} right of the {2} {3} ?",
    "Is the {0} {1} above the {2} {3} ?",
    "Is the {0} {1} below the {2} {3} ?",
    "Is there a {0} {1} ?",
    "Is there a {1} ?",
    "How many {0} {4} are there ?",
    "How many {4} are there ?",
    "In which column is the {0} {1} ?",
    "In which row is the {0} {1} ?",
)
LEFT, RIGHT, ABOVE, BELOW, IS_THERE, IS_ANY, COUNT, COUNT_ANY, COLUMN, ROW = range(len(QUESTIONS))
QUESTION_LENGTH = 10


def _words() -> tuple[str, ...]:
    plain = {w for line in QUESTIONS for w in line.split() if "{" not in w}
    numbers = tuple(str(i) for i in range(10))
    nouns = (*SHAPES, ANY, *PLURALS, ANY_PLURAL)
    images = (IMAGE, AROUND, WHOLE)
    return (*SPECIAL, *images, *sorted(plain), *COLOURS, *nouns, *numbers, "yes", "no", UNKNOWN)


VOCABULARY = _words()
IDS = {word: i for i, word in enumerate(VOCABULARY)}
PAD, UNK, BOS, EOS = range(len(SPECIAL))
COLOUR_IDS = np.array([IDS[w] for w in COLOURS], np.int32)
NOUN_IDS = np.array([IDS[w] for w in (*SHAPES, ANY)], np.int32)
PLURAL_IDS = np.array([IDS[w] for w in (*PLURALS, ANY_PLURAL)], np.int32)
NUMBER_IDS = np.array([IDS[str(i)] for i in range(10)], np.int32)
YES, NO, NOT_SEEN = IDS["yes"], IDS["no"], IDS[UNKNOWN]


def _table() -> np.ndarray:
    """Token ids of templates, [PAD] in front; −1 − i where slot i belongs."""
    slots = {f"{{{i}}}": -1 - i for i in range(5)}
    rows = [[slots[w] if w in slots else IDS[w] for w in line.split()] for line in QUESTIONS]
    return np.array([[PAD] * (QUESTION_LENGTH - len(row)) + row for row in rows], np.int32)


TEMPLATES = _table()


def _nouns() -> np.ndarray:
    """Where the one or two nouns of a template stand, (questions, 2); −1 for none."""
    first = [int(np.argmax(np.isin(row, (-2, -5)))) for row in TEMPLATES]
    second = [int(np.argmax(row == -4)) if (row == -4).any() else -1 for row in TEMPLATES]
    return np.stack([first, second], axis=1).astype(np.int32)


NOUNS = _nouns()


def question_tokens(kind: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Token ids of questions, (…, 10), [PAD] in front.

    Args:
      kind: of each question.
      first, second: (…, 2), colour and noun of what is asked about; nouns may be ``len(SHAPES)``
        for any shape. Colours and nouns that a template does not name are not looked at.
    """
    out = TEMPLATES[kind]
    filled = (
        COLOUR_IDS[first[..., 0]], NOUN_IDS[first[..., 1]],
        COLOUR_IDS[second[..., 0]], NOUN_IDS[second[..., 1]], PLURAL_IDS[first[..., 1]],
    )  # fmt: skip
    for slot, words in enumerate(filled):
        out = np.where(out == -1 - slot, words[..., None], out)
    return out.astype(np.int32)


def text_of(tokens: np.ndarray) -> str:
    """Tokens as text."""
    return " ".join(VOCABULARY[t] for t in tokens.tolist() if t != PAD).replace(" ?", "?")
