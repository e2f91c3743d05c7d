"""A question's prompt as tokens: the context's features, what fits the model, what masks them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.prompts import Prompt
from spexjax.models.text.masking import (
    Features,
    MaskableText,
    Template,
    TooLongError,
    bucket,
    split_text,
)
from spexjax.models.text.spans import Span, sentences, words
from spexjax.models.text.tokenizing import UNKNOWN

_ALWAYS, _NOTHING = -1, -2


def context_source(
    model: LanguageModel, asked: Prompt, features: Features | Iterable[Span]
) -> MaskableText:
    """The prompt's tokens, those of the context assigned to features."""
    if isinstance(features, str) and features in ("words", "sentences"):
        spans = (words if features == "words" else sentences)(asked.context)
    elif isinstance(features, str) and features == "tokens":
        found = model.tokenizer.encode(asked.text, add_special_tokens=not asked.marked).offsets
        first, last = len(asked.before), len(asked.before) + len(asked.context)
        spans = [(s - first, e - first) for s, e in found if first <= s < e <= last]
    elif isinstance(features, str):
        raise ValueError(f"features must be one of {get_args(Features)}, got {features!r}.")
    else:
        spans = sorted(features)
        for span in spans:
            if not 0 <= span[0] < span[1] <= len(asked.context):
                raise ValueError(
                    f"Span {span} is not within the context's {len(asked.context)} characters."
                )
    whole = asked.shifted(spans)
    return split_text(asked.text, model.tokenizer, whole, add_special_tokens=not asked.marked)


def fitting(source: MaskableText, extra: int, positions: int, truncate: bool) -> MaskableText:
    """The prompt as the model can see it, its last features dropped if need be and allowed."""
    over = len(source.ids) + extra - positions
    if over <= 0:
        return source
    own = np.bincount(source.feature[source.feature >= 0], minlength=source.n)
    from_end = np.cumsum(own[::-1])
    lost = int(np.searchsorted(from_end, over)) + 1
    if not truncate or lost >= source.n:
        fate = "none would be left" if lost >= source.n else f"{lost} would be lost"
        hint = "shorten it" if lost >= source.n else "shorten it, or pass truncate=True"
        raise TooLongError(
            f"the prompt of {len(source.ids)} tokens and its answer exceed the model's {positions} "
            f"positions: of the context's {source.n} features {fate}; {hint}."
        )
    n = source.n - lost
    kept = source.feature < n
    return replace(
        source, spans=source.spans[:n], cut=source.spans[n:], ids=source.ids[kept],
        feature=source.feature[kept], first=source.first[kept],
    )  # fmt: skip


def masked_template(
    model: LanguageModel, source: MaskableText, tail: Sequence[int], start: int, replacement: str
) -> Template:
    ids = np.concatenate([source.ids[start:], np.array(tail, np.int32)])
    fill = (0, bucket(len(ids)) - len(ids))
    delete = replacement == "delete"
    feature = np.pad(source.feature[start:], (0, len(tail)), constant_values=_ALWAYS)
    first = np.pad(source.first[start:] & (not delete), (0, len(tail)))
    return Template(
        ids=np.pad(ids, fill),
        feature=np.pad(feature, fill, constant_values=_NOTHING),
        first=np.pad(first, fill),
        replacement=np.array(0 if delete else _token(model, replacement), np.int32),
        pad=np.array(0, np.int32),
        attended=np.array(True),
    )


def _token(model: LanguageModel, replacement: str) -> int:
    """The token that replaces a feature."""
    if replacement == "unk":
        named = (model.special or {}).get("unk_token")
        names = (named,) if named else UNKNOWN
        for name in names:
            token = model.tokenizer.token_to_id(name)
            if token is not None:
                return token
        raise ValueError(
            f"the tokenizer of {model.name} has no token for the unknown; replacement must be "
            "'delete' or the text of a token."
        )
    token = model.tokenizer.token_to_id(replacement)
    if token is not None:
        return token
    ids = model.tokenizer.encode(replacement, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"replacement must be one token, {replacement!r} is {len(ids)}.")
    return ids[0]


def mask_token(model: LanguageModel) -> str:
    """The replacement "unk" where the tokenizer has a token for the unknown, else "delete"."""
    named = (model.special or {}).get("unk_token")
    known = any(model.tokenizer.token_to_id(t) is not None for t in (named, *UNKNOWN) if t)
    return "unk" if known else "delete"
