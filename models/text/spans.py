"""Character spans of a text: words, sentences, and how they fit a tokenizer's pre-tokens."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from spexjax.models.text.nltk_parts import tokenizers

Span = tuple[int, int]


# Scripts that are written without spaces between words.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WIDE_ENDS = "。！？｡"
_WIDE_CLOSING = "」』）】〉》”’"


def words(text: str) -> list[Span]:
    """Words and punctuation by the rules of the Penn Treebank (nltk, no data needed).

    Those rules rewrite the text and then look their words up in it again, which odd mixtures of
    quotation marks defeat; such a text is split into runs of word characters and single others.
    What they leave in one piece of scripts without spaces (Chinese, Japanese, Thai, …) is split at
    Unicode's default word boundaries (UAX #29, by the ``regex`` package, no dictionary): a word is
    then an ideograph, a hiragana syllable, or a run of katakana.
    """
    import regex

    try:
        found = list(tokenizers().words.span_tokenize(text))
    except ValueError:
        found = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    if not regex.search(_UNSPACED, text):
        return found
    return [part for span in found for part in _parts(text, span)]


def _parts(text: str, span: Span) -> list[Span]:
    """A span cut at Unicode's word boundaries, if it holds a script without spaces."""
    import regex

    start, end = span
    if not regex.search(_UNSPACED, text, pos=start, endpos=end):
        return [span]
    cuts = [found.start() for found in regex.finditer(r"(?w)\b", text[start:end])]
    cuts = sorted({0, *cuts, end - start})
    pieces = ((start + a, start + b) for a, b in pairwise(cuts))
    return [(a, b) for a, b in pieces if not text[a:b].isspace()]


def sentences(text: str) -> list[Span]:
    """Sentences by nltk's Punkt algorithm with its untrained defaults (no data needed).

    Those know no ideographic full stops; sentences end at these too.
    """
    ends = f"[{_WIDE_ENDS}]+[{_WIDE_CLOSING}]*"
    out = []
    for start, end in tokenizers().sentences.span_tokenize(text):
        for found in re.finditer(rf"\S.*?(?:{ends}|$)", text[start:end], re.S):
            out.append((start + found.start(), start + found.end()))
    return out


def merge(
    spans: Sequence[Span],
    offsets: Int[np.ndarray, "tokens 2"],
    blocks: Int[np.ndarray, "tokens"],
) -> tuple[list[Span], Int[np.ndarray, "tokens"]]:
    """Widens spans to whole blocks (pre-tokens) and merges those that share one.

    Args:
      spans: sorted character spans [start, end).
      offsets: each token's characters [start, end).
      blocks: each token's block, ascending; −1 for tokens outside the text, such as [CLS].

    Returns:
      The merged spans in order, those without tokens left out; and the span that each token lies
      in, −1 for none.
    """
    names, which = np.unique(blocks[blocks >= 0], return_inverse=True)
    inside = offsets[blocks >= 0]
    starts = np.full(len(names), np.iinfo(np.int64).max)
    ends = np.zeros(len(names), np.int64)
    np.minimum.at(starts, which, inside[:, 0])
    np.maximum.at(ends, which, inside[:, 1])
    merged: list[tuple[int, int, int, int]] = []
    for start, end in spans:
        low = int(np.searchsorted(ends, start, "right"))
        high = int(np.searchsorted(starts, end, "left")) - 1
        if high < low:
            continue
        start, end = min(start, int(starts[low])), max(end, int(ends[high]))
        if merged and low <= merged[-1][3]:
            before = merged.pop()
            start, end = min(start, before[0]), max(end, before[1])
            low, high = min(low, before[2]), max(high, before[3])
        merged.append((start, end, low, high))
    of_block = np.full(len(names), -1, np.int64)
    for i, (_, _, low, high) in enumerate(merged):
        of_block[low : high + 1] = i
    feature = np.full(len(blocks), -1, np.int64)
    feature[blocks >= 0] = of_block[which]
    return [(start, end) for start, end, _, _ in merged], feature
