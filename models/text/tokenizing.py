"""Reading the tokenizer of a model folder, and cutting texts as the model would."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

if TYPE_CHECKING:
    from tokenizers import Tokenizer


UNKNOWN = ("[UNK]", "<unk>", "<|unk|>")
"""What tokenizers call the token that stands for what they do not know."""
MASK, PAD = ("[MASK]", "<mask>"), ("[PAD]", "<pad>")
"""What they call the token of a masked language model's gap, and what fills rows up."""
_CONVERTED = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model")


def load_tokenizer(folder: str | Path) -> "Tokenizer":
    """Reads ``folder/tokenizer.json``; padding and truncation stored in it are switched off.

    Folders that hold only a vocabulary (``vocab.txt`` and the like), as older models do, are
    converted by
    ``transformers``, which takes seconds to import and is therefore the second choice.

    Raises:
      FileNotFoundError: if there is neither.
      ImportError: if there is only a vocabulary and ``transformers`` is not installed.
      ValueError: if it cannot be read.
    """
    from tokenizers import Tokenizer

    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file() and not any((folder / name).is_file() for name in _CONVERTED):
        raise FileNotFoundError(f"No tokenizer.json in {str(folder)!r}.")
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _converted(folder)
    except ImportError:
        raise
    except Exception as error:  # the libraries raise nothing narrower
        raise ValueError(f"{str(path)!r} is not a tokenizer: {error}.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _converted(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise ImportError(
                f"{str(folder)!r} has a vocabulary but no tokenizer.json; to convert it: "
                "pip install transformers"
            ) from error
        return AutoTokenizer.from_pretrained(folder, use_fast=True).backend_tokenizer


def first_token(tokenizer: "Tokenizer", names: Sequence[str]) -> int | None:
    """The id of the first of these tokens that a tokenizer has; None if it has none."""
    found = (tokenizer.token_to_id(name) for name in names)
    return next((token for token in found if token is not None), None)


def truncation(
    special: Bool[np.ndarray, "tokens"], max_length: int | None
) -> Int[np.ndarray, "kept"]:
    """Which tokens a model of ``max_length`` positions sees: the first, and the closing specials.

    Args:
      special: bool, True at the tokens that the tokenizer adds, such as [CLS] and [SEP].
      max_length: positions; None for no limit.
    """
    count = len(special)
    if max_length is None or count <= max_length:
        return np.arange(count)
    tail = int(np.argmin(special[::-1]))
    return np.r_[: max_length - tail, count - tail : count]
