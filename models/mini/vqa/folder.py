"""The folder of the model that looks, and the model without one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.drawing import PIXELS
from spexjax.models.mini.word_level import SPECIAL, save_word_tokenizer, word_tokenizer
from spexjax.models.vit.preprocessing import preprocessing_from_dict
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.language import VisionLanguageModel
from spexjax.models.vlm.weights import save_vlm

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PREPROCESSING = {
    "image_processor_type": "SmolVLMImageProcessor",
    "do_image_splitting": False,
    "size": {"longest_edge": PIXELS},
    "max_image_size": {"longest_edge": PIXELS},
    "resample": 1,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def tokenizer() -> "Tokenizer":
    """A word-level tokenizer that finds the marks of an image."""
    return word_tokenizer(g.IDS, (*SPECIAL, g.IMAGE, g.AROUND, g.WHOLE))


def save_model(folder: str | Path, config: VlmConfig, params: Mapping[str, Any]) -> None:
    """Writes a Hugging Face folder: configuration, weights, tokenizer, preprocessing."""
    save_vlm(folder, config, params)
    save_word_tokenizer(folder, tokenizer(), config.text.max_position_embeddings)
    text = json.dumps(_PREPROCESSING, indent=2)
    (Path(folder) / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")


def model_of(config: VlmConfig, params: Mapping[str, Any]) -> VisionLanguageModel:
    """The model as its folder would be read."""
    special = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    preprocessing = preprocessing_from_dict(_PREPROCESSING, config.family)
    return VisionLanguageModel(
        config, params, tokenizer(), preprocessing, None, special, "vqa", "plain"
    )
