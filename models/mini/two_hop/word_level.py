"""The two-hop model's tokenizer: one token per word and per punctuation mark."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spexjax.models.mini.two_hop.grammar import BOS, IDS, SPECIAL


def word_tokenizer() -> Tokenizer:
    """A word-level tokenizer with [BOS] in front of every text; unknown words become [UNK]."""
    tokenizer = Tokenizer(models.WordLevel(dict(IDS), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A", pair="[BOS] $A $B", special_tokens=[("[BOS]", BOS)]
    )
    return tokenizer


def save_word_tokenizer(folder: str | Path, positions: int) -> None:
    """Writes ``tokenizer.json`` and ``tokenizer_config.json`` as Hugging Face folders have them."""
    folder = Path(folder)
    word_tokenizer().save(str(folder / "tokenizer.json"), pretty=False)
    names = ("pad_token", "unk_token", "bos_token", "eos_token")
    config = dict(zip(names, SPECIAL, strict=True)) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "prompt_template": "plain",  # how spexjax asks: see models/prompts.py
    }
    text = json.dumps(config, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
