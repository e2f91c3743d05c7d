"""The answer whose likelihood is the value: its tokens, its competitors, the model's own one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.llama.prompts import Prompt
from spexjax.models.llama.teacher_forcing import Answer
from spexjax.models.text.masking import MaskableText, bucket
from spexjax.models.values.contexts import fitting
from spexjax.typing import Array

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def padded_answer(ids: Sequence[int], others: Sequence[int] = ()) -> Answer:
    """An answer's tokens, padded so that answers of similar length share compiled programs."""
    fill = (0, bucket(len(ids), least=1) - len(ids))
    rest = list(others) + [-1] * (bucket(len(others), least=1) - len(others))
    return Answer(
        np.pad(np.array(ids, np.int32), fill),
        np.array(len(ids), np.int32),
        np.array(rest, np.int32),
    )


class Speaker(Protocol):
    """A model that reads and writes tokens."""

    @property
    def tokenizer(self) -> "Tokenizer":
        """With padding and truncation off."""

    @property
    def name(self) -> str:
        """What to call it."""


def answer_tokens(model: Speaker, text: str, marked: bool, answer: str) -> tuple[int, ...]:
    """The tokens that an answer adds to a prompt.

    A space is put between them where neither has one.

    Raises:
      ValueError: if the answer is empty, or adds no token.
    """
    if not answer.strip():
        raise ValueError("the answer is empty; give one, or None for the model's own.")
    joint = "" if text[-1:].isspace() or answer[0].isspace() or marked else " "
    encode = model.tokenizer.encode
    alone = encode(text, add_special_tokens=not marked).ids
    both = encode(text + joint + answer, add_special_tokens=not marked).ids
    # A tokenizer may merge across the joint; then the answer's own tokens follow the prompt's.
    joined = both[: len(alone)] == alone
    ids = both[len(alone) :] if joined else encode(answer, add_special_tokens=False).ids
    if not ids:
        raise ValueError(f"the tokenizer of {model.name} has no token for the answer {answer!r}.")
    return tuple(ids)


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
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The answer's text and tokens, and the first tokens of its competitors."""
    if choices:

        def likely() -> np.ndarray:
            seen = fitting(source, 0, model.config.max_position_embeddings, truncate)
            return _next(model, seen.ids)

        return among_choices(model, asked.text, asked.marked, choices, answer, likely)
    if answer is not None:
        return answer, answer_tokens(model, asked.text, asked.marked, answer), ()
    room = model.config.max_position_embeddings
    seen = fitting(source, max_new_tokens, room, truncate)
    ids = tuple(greedy(model.config, model.placed, [seen.ids.tolist()], max_new_tokens)[0])
    if not ids:
        raise ValueError(f"{model.name} ends without an answer; give one.")
    return model.tokenizer.decode(list(ids)).strip(), ids, ()


def _next(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities, up to a constant, of the token that follows."""
    padded = np.zeros((1, bucket(len(ids))), np.int32)
    padded[0, : len(ids)] = ids
    return model.devices.fetch(_logits_at(model.config, model.placed, padded, len(ids) - 1))


@partial(jax.jit, static_argnums=0)
def _logits_at(config: LlamaConfig, params: Any, ids: Array, place: Array) -> Array:
    hidden, _ = Llama(config).apply({"params": params}, ids)
    return unembed(config, params, hidden[0, place])
