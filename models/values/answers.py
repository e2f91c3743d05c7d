"""The answer whose likelihood is the value: its tokens, its competitors, the model's own one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.llama.prompts import Prompt
from spexjax.models.llama.teacher_forcing import Answer
from spexjax.models.text.answers import Speaker, answer_tokens
from spexjax.models.text.masking import MaskableText, bucket
from spexjax.models.values.contexts import fitting
from spexjax.typing import Array


def padded_answer(ids: Sequence[int], others: Sequence[int] = ()) -> Answer:
    """An answer's tokens, padded so that answers of similar length share compiled programs."""
    fill = (0, bucket(len(ids), least=1) - len(ids))
    rest = list(others) + [-1] * (bucket(len(others), least=1) - len(others))
    return Answer(
        np.pad(np.array(ids, np.int32), fill),
        np.array(len(ids), np.int32),
        np.array(rest, np.int32),
    )


def among_choices(
    model: Speaker,
    text: str,
    marked: bool,
    choices: tuple[str, ...],
    answer: str | None,
    likely: Callable[[], np.ndarray],
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """One of several answers: its text, its first token, those of the others.

    Args:
      model: whose tokens.
      text, marked: the prompt, as for :func:`answer_tokens`.
      choices: the answers.
      answer: one of them; the likeliest if None.
      likely: gives the logits of the token that follows the prompt.

    Raises:
      ValueError: if the answer is none of them, or two begin alike.
    """
    first = [answer_tokens(model, text, marked, c)[0] for c in choices]
    if len(set(first)) < max(len(choices), 2):
        raise ValueError(f"choices must be two or more of different first tokens: {choices}.")
    if answer is None:
        answer = choices[int(np.argmax(likely()[first]))]
    elif answer not in choices:
        raise ValueError(f"answer must be one of the choices {choices}, got {answer!r}.")
    token = first[choices.index(answer)]
    return answer, (token,), tuple(t for t in first if t != token)


def chosen_answer(
    model: LanguageModel,
    asked: Prompt,
    source: MaskableText,
    answer: str | None,
    choices: tuple[str, ...],
    truncate: bool,
    max_new_tokens: int,
    dtype: Any,
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The answer's text and tokens, and the first tokens of its competitors."""
    if choices:

        def likely() -> np.ndarray:
            seen = fitting(source, 0, model.config.max_position_embeddings, truncate)
            return _next(model, seen.ids, dtype)

        return among_choices(model, asked.text, asked.marked, choices, answer, likely)
    if answer is not None:
        return answer, answer_tokens(model, asked.text, asked.marked, answer), ()
    room = model.config.max_position_embeddings
    seen = fitting(source, max_new_tokens, room, truncate)
    params = model.placed_in(dtype)
    new = greedy(model.config, params, [seen.ids.tolist()], max_new_tokens, dtype=dtype)
    ids = tuple(new[0])
    if not ids:
        raise ValueError(f"{model.name} ends without an answer; give one.")
    return model.tokenizer.decode(list(ids)).strip(), ids, ()


def answer_span(
    model: LanguageModel, ids: Sequence[int], span: str, answer: str
) -> tuple[int, int]:
    """The tokens [first, last) of an answer that hold a part of its text.

    Raises:
      ValueError: if the text is empty, or the answer does not hold it exactly once.
    """
    if not span.strip():
        raise ValueError("the span of the answer is empty.")
    # Characters up to each token; the decoder of all of them knows best what stands between.
    ends = [len(model.tokenizer.decode(list(ids[: i + 1]))) for i in range(len(ids))]
    whole = model.tokenizer.decode(list(ids))
    count = whole.count(span.strip())
    if count != 1:
        raise ValueError(f"the answer {answer!r} holds {span!r} {count} times, not once.")
    start = whole.index(span.strip())
    end = start + len(span.strip())
    begins = [0, *ends[:-1]]
    inside = [i for i, (a, b) in enumerate(zip(begins, ends, strict=True)) if a < end and b > start]
    return inside[0], inside[-1] + 1


def _next(model: LanguageModel, ids: np.ndarray, dtype: Any) -> np.ndarray:
    """Log-probabilities, up to a constant, of the token that follows."""
    padded = np.zeros((1, bucket(len(ids))), np.int32)
    padded[0, : len(ids)] = ids
    found = _logits_at(model.config, dtype, model.placed_in(dtype), padded, len(ids) - 1)
    return model.devices.fetch(found)


@partial(jax.jit, static_argnums=(0, 1))
def _logits_at(config: LlamaConfig, dtype: Any, params: Any, ids: Array, place: Array) -> Array:
    hidden, _ = Llama(config, dtype).apply({"params": params}, ids, packed=True)
    return unembed(config, params, hidden[0, place])
