"""The tokens that an answer adds to a prompt."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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

    Args:
      model: whose tokens.
      text: the prompt.
      marked: whether it spells the tokens itself that begin a sequence.
      answer: what follows.

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
