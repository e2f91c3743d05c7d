"""Tokenizers of the embedded models that have one token per word and per punctuation mark."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")


def word_tokenizer(ids: Mapping[str, int], special: Sequence[str] = SPECIAL) -> "Tokenizer":
    """A word-level tokenizer with [BOS] in front of every text; unknown words become [UNK].

    Args:
      ids: of the words.
      special: the words, ``SPECIAL`` among them, that are found in a text before it is cut.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(dict(ids), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A", pair="[BOS] $A $B", special_tokens=[("[BOS]", ids["[BOS]"])]
    )
    return tokenizer


def save_word_tokenizer(folder: str | Path, tokenizer: "Tokenizer", positions: int) -> None:
    """Writes ``tokenizer.json`` and ``tokenizer_config.json`` as Hugging Face folders have them."""
    folder = Path(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = ("pad_token", "unk_token", "bos_token", "eos_token")
    config = dict(zip(names, SPECIAL, strict=True)) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "prompt_template": "plain",  # how spexjax asks: with the context and the question alone
    }
    text = json.dumps(config, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
