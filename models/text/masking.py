"""Texts whose features can be masked: text to features on the host, masks to token ids on devices.

A feature is a stretch of characters of the untouched text, a word or a sentence. The text is
tokenized ONCE; each token belongs to one feature, or to none and is then always kept. A mask
turns the tokens of every feature it switches off into a single [UNK] (or [MASK], [PAD], nothing)
and closes the gaps, so that a row holds what the tokenizer would return for the text in which the
feature's characters are replaced by ``[UNK]``. That holds for tokenizers that treat the pieces of
a pre-token alone (WordPiece; those of bytes and pieces of sentences count the blank before a word
to it); features that share a pre-token are therefore merged. Single tokens
as features are the exception: there the row is defined by its ids, not by a text.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from spexjax.models.text.spans import Span, merge, sentences, words
from spexjax.models.text.tokenizing import MASK, PAD, UNKNOWN, first_token, truncation
from spexjax.typing import Array, ArrayLike

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Replacement = Literal["unk", "mask", "pad", "delete"]
Features = Literal["words", "sentences", "tokens"]

_LOG = logging.getLogger("spexjax.models.text")
_ALWAYS, _NOTHING = -1, -2  # feature numbers of a token that is always kept, and of padding


class TooLongError(ValueError):
    """A text has more tokens than its model has positions."""


class Template(NamedTuple):
    """What turns masks into ids: arrays over the tokens of a text, padded to a bucket's length."""

    ids: Int[ArrayLike, "length"]
    feature: Int[ArrayLike, "length"]
    first: Bool[ArrayLike, "length"]  # where a masked feature leaves its replacement
    replacement: Int[ArrayLike, ""]
    pad: Int[ArrayLike, ""]
    attended: Bool[ArrayLike, ""]  # whether attention sees the replacement


class MaskedRows(NamedTuple):
    """A batch of masked texts: tokens at the front, padding behind."""

    ids: Int[Array, "N length"]
    keep: Bool[Array, "N length"]
    """True at what attention sees."""
    feature: Int[Array, "N length"]
    """The feature of each token or replacement; negative for special tokens and padding."""


@dataclass(frozen=True)
class MaskableText:
    """A text, its features and its tokens.

    Attributes:
      text: the untouched text.
      spans: the characters [start, end) of each feature, in order.
      cut: features that lie wholly beyond the model's last position, and so do not exist for it.
      ids: int32 token ids of the text, special tokens included, as the model gets them.
      feature: int32, the feature of each token, −1 for tokens that are always kept.
      first: bool, whether a token is the first of its feature.
    """

    text: str
    spans: tuple[Span, ...]
    cut: tuple[Span, ...]
    ids: np.ndarray
    feature: np.ndarray
    first: np.ndarray

    @property
    def n(self) -> int:
        """The number of features."""
        return len(self.spans)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return tuple(self.text[start:end] for start, end in self.spans)

    def masked(self, mask: Sequence[bool], replacement: str = "[UNK]") -> str:
        """The text with the features that ``mask`` switches off replaced; the definition."""
        out, at = [], 0
        for (start, end), kept in zip(self.spans, mask, strict=True):
            out += [self.text[at:start], self.text[start:end] if kept else replacement]
            at = end
        return "".join([*out, self.text[at : self.cut[0][0] if self.cut else None]])


def warn_of_unknown(text: MaskableText, tokenizer: "Tokenizer", name: str) -> None:
    """Logs a warning where half of the features or more are nothing but unknown tokens.

    Args:
      text: the text.
      tokenizer: the model's.
      name: the model's, for the message.
    """
    known = [tokenizer.token_to_id(token) for token in UNKNOWN]
    unknown = np.isin(text.ids, [token for token in known if token is not None])
    inside = text.feature >= 0
    own = np.bincount(text.feature[inside], minlength=text.n)
    lost = np.bincount(text.feature[inside], unknown[inside], text.n) == own
    if 2 * lost.sum() < text.n:
        return
    shown = ", ".join(repr(text.words[i][:20]) for i in np.flatnonzero(lost)[:5])
    more = ", …" if lost.sum() > 5 else ""
    _LOG.warning(
        "%s does not know %d of the text's %d features (%s%s): to it they are all the same.",
        name, lost.sum(), text.n, shown, more,
    )  # fmt: skip


def bucket(size: int, least: int = 8, parts: int = 2) -> int:
    """``size`` rounded up to a step of a ladder, and to ``least``, so that compiled code is shared.

    Between two powers of two the ladder has ``parts`` equal steps: 8, 12, 16, 24, 32, … for two.
    """
    if size <= least:
        return least
    step = max((1 << (size - 1).bit_length()) // (2 * parts), 1)
    return -(-size // step) * step


def split_text(
    text: str,
    tokenizer: "Tokenizer",
    features: Features | Iterable[Span] = "words",
    max_length: int | None = None,
    add_special_tokens: bool = True,
) -> MaskableText:
    """Tokenizes a text and assigns its tokens to features.

    Args:
      text: the text, never altered.
      tokenizer: with padding and truncation off.
      features: "words" or "sentences" (nltk's rules), "tokens" (each token of its own), or
        character spans [start, end). A span is widened to whole pre-tokens of the tokenizer,
        spans that then overlap become one, and spans without a token (a lone zero-width
        character) are left out.
      max_length: the model's number of positions. Tokens beyond it are cut off as the model's own
        truncation would, and features wholly beyond it are listed in ``cut``.
      add_special_tokens: whether the tokenizer adds its own, such as [CLS].

    Raises:
      ValueError: if there is no feature, or a span lies outside the text.
    """
    encoding = tokenizer.encode(text, add_special_tokens=add_special_tokens)
    special = np.array(encoding.special_tokens_mask, bool)
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    if isinstance(features, str) and features == "tokens":
        merged = [(int(start), int(end)) for start, end in offsets[~special]]
        feature = np.where(special, _ALWAYS, np.cumsum(~special) - 1)
    else:
        blocks = np.array([-1 if w is None else w for w in encoding.word_ids])
        merged, feature = merge(_spans(text, features), offsets, np.where(special, -1, blocks))
        merged = [_trimmed(text, span) for span in merged]
    ids = np.array(encoding.ids, np.int32)
    kept = truncation(special, max_length)
    ids, feature = ids[kept], feature[kept]
    n = int(feature.max(initial=-1)) + 1
    if n == 0:
        raise ValueError("The text has no word that the tokenizer knows; nothing to explain.")
    before = np.r_[_NOTHING, feature[:-1]]
    return MaskableText(
        text=text,
        spans=tuple(merged[:n]),
        cut=tuple(merged[n:]),
        ids=ids,
        feature=feature.astype(np.int32),
        first=(feature != before) & (feature >= 0),
    )


def _trimmed(text: str, span: Span) -> Span:
    """A span without blanks at its ends, which byte-level tokenizers count to words."""
    inside = text[span[0] : span[1]]
    start = span[0] + len(inside) - len(inside.lstrip())
    end = span[1] - len(inside) + len(inside.rstrip())
    return (start, end) if start < end else span


def _spans(text: str, features: Features | Iterable[Span]) -> list[Span]:
    if isinstance(features, str):
        if features not in get_args(Features):
            raise ValueError(
                f"features must be one of {get_args(Features)} or spans, got {features!r}."
            )
        return words(text) if features == "words" else sentences(text)
    spans = sorted(features)
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"Span {(start, end)} is not within the text's {len(text)} characters."
            )
    return spans


def template(
    text: MaskableText,
    tokenizer: "Tokenizer",
    replacement: Replacement = "unk",
    length: int | None = None,
) -> Template:
    """The arrays for :func:`masked_rows`, padded to ``length`` tokens.

    Args:
      text: the text and its features.
      tokenizer: knows the ids of [UNK], [MASK] and [PAD].
      replacement: what a masked feature becomes: one [UNK], one [MASK], one [PAD] that attention
        does not see but that keeps a place, so that later words stay further off, or nothing.
      length: of the longest row.

    Raises:
      ValueError: if the replacement is unknown or the tokenizer has no such token, or the text is
        longer than ``length``.
    """
    if replacement not in get_args(Replacement):
        raise ValueError(f"replacement must be one of {get_args(Replacement)}, got {replacement!r}")
    length = len(text.ids) if length is None else length
    if length < len(text.ids):
        raise ValueError(f"length = {length} is below the text's {len(text.ids)} tokens.")
    names = {"unk": UNKNOWN, "mask": MASK}.get(replacement, PAD)
    token, pad = first_token(tokenizer, names), first_token(tokenizer, PAD)
    if token is None or pad is None:
        raise ValueError(f"The tokenizer has no token {names[0]!r} or no '[PAD]'.")
    fill = (0, length - len(text.ids))
    return Template(
        ids=np.pad(text.ids, fill, constant_values=pad),
        feature=np.pad(text.feature, fill, constant_values=_NOTHING),
        first=np.pad(text.first & (replacement != "delete"), fill),
        replacement=np.array(token, np.int32),
        pad=np.array(pad, np.int32),
        attended=np.array(replacement != "pad"),
    )


def row_lengths(template: Template, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
    """Tokens that each masked text has, replacements included."""
    feature, first = np.asarray(template.feature), np.asarray(template.first)
    own = np.bincount(feature[feature >= 0], minlength=masks.shape[1])
    left = np.bincount(feature[first], minlength=masks.shape[1])
    always = int((feature == _ALWAYS).sum()) + int(left.sum())
    return always + masks @ (own - left)


@partial(jax.jit, static_argnames="length", inline=True)
def masked_rows(
    template: Template, masks: Bool[ArrayLike, "N n"], length: int | None = None
) -> MaskedRows:
    """Token ids and attention mask of a text under each of N masks.

    Args:
      template: of a text of at most n features.
      masks: bool, (N, n), True keeps; columns beyond the text's features are ignored.
      length: of the rows returned, at least :func:`row_lengths`; the template's if not given.
    """
    feature = jnp.asarray(template.feature)
    length = feature.shape[-1] if length is None else length
    kept = jnp.take(jnp.asarray(masks), jnp.maximum(feature, 0), axis=1) | (feature == _ALWAYS)
    kept &= feature != _NOTHING
    there = kept | jnp.asarray(template.first)
    ids = jnp.where(kept, jnp.asarray(template.ids), template.replacement)
    to = jnp.where(there, jnp.cumsum(there, axis=1, dtype=jnp.int32) - 1, length)
    rows = jnp.arange(ids.shape[0])[:, None]

    def compact(values: ArrayLike, fill: ArrayLike | int) -> Array:
        values = jnp.broadcast_to(jnp.asarray(values), there.shape)
        blank = jnp.full((there.shape[0], length), fill, values.dtype)
        return blank.at[rows, to].set(values, mode="drop")

    return MaskedRows(
        ids=compact(ids, template.pad),
        keep=compact(kept | template.attended, False),
        feature=compact(feature, _NOTHING),
    )
