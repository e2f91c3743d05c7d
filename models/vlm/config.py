"""The geometry of a vision–language model: an image tower, what connects it, a Llama."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from spexjax.models.llama.config import LlamaConfig, config_from_dict, config_to_dict
from spexjax.models.nn.prenorm import Activation
from spexjax.models.vit.config import VitConfig, tower_from_dict, tower_to_dict

Family = Literal["idefics3", "smolvlm", "llava"]
_TOWERS = {"idefics3": "idefics3_vision", "smolvlm": "smolvlm_vision", "llava": "clip_vision_model"}
_ARCHITECTURES = {
    "idefics3": "Idefics3ForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration",
    "llava": "LlavaForConditionalGeneration",
}
# What transformers takes where a folder's parts leave keys out: LLaVA-1.5's tower, Llama's sizes.
_LLAVA_TOWER = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
}  # fmt: skip


@dataclass(frozen=True)
class VlmConfig:
    """The geometry of a vision–language model.

    Attributes:
      family: "idefics3" or "smolvlm" (Laurençon et al. 2024; Marafioti et al. 2025: squares of
        patches side by side, one linear layer) or "llava" (Liu et al. 2024: two layers).
      vision: the tower, cut behind the layer that is read.
      text: the language model.
      image_token_id: stands for each image state in a prompt.
      shuffle: squares of so many patches a side become one state.
      activation, bias: of LLaVA's two layers.
      dropped_layers: layers of the tower that a folder holds but nothing reads.

    Raises:
      ValueError: if ``shuffle`` does not divide the patches of a side.
    """

    family: Family
    vision: VitConfig
    text: LlamaConfig
    image_token_id: int
    shuffle: int = 1
    activation: Activation = "gelu"
    bias: bool = True
    dropped_layers: int = 0

    def __post_init__(self) -> None:
        if self.vision.side % self.shuffle:
            raise ValueError(
                f"scale_factor = {self.shuffle} must divide the {self.vision.side} patches of a "
                "side."
            )

    @property
    def image_tokens(self) -> int:
        """States of an image in a prompt."""
        return (self.vision.side // self.shuffle) ** 2


def vlm_from_dict(raw: Mapping[str, Any]) -> VlmConfig:
    """A :class:`VlmConfig` from the contents of a Hugging Face ``config.json``.

    Raises:
      ValueError: for another family of models, or a setting that is not supported.
    """
    family: Any = raw.get("model_type")
    if family not in get_args(Family):
        raise ValueError(f"model_type must be one of {get_args(Family)}, got {family!r}.")
    tied = bool(raw.get("tie_word_embeddings", False))
    text = dict(raw.get("text_config") or {})
    text = {"model_type": "llama"} | text | {"architectures": None}
    text["tie_word_embeddings"] = tied or bool(text.get("tie_word_embeddings", False))
    if family != "llava":
        vision = {"model_type": _TOWERS[family]} | dict(raw.get("vision_config") or {})
        if vision["model_type"] in ("idefics3", "smolvlm"):  # as older folders call it
            vision["model_type"] = _TOWERS[family]
        return VlmConfig(
            family,
            tower_from_dict(vision),
            config_from_dict(text),
            int(raw.get("image_token_id", 128257)),
            int(raw.get("scale_factor", 2)),
        )
    tower = tower_from_dict(_LLAVA_TOWER | dict(raw.get("vision_config") or {}))
    layer = raw.get("vision_feature_layer", -2)
    if not isinstance(layer, int):
        raise ValueError(f"vision_feature_layer = {layer} is not supported, only one layer.")
    if raw.get("vision_feature_select_strategy", "default") != "default":
        raise ValueError("vision_feature_select_strategy must be 'default'.")
    layers = layer if layer >= 0 else tower.n_layers + 1 + layer
    if not 0 <= layers <= tower.n_layers:
        raise ValueError(f"vision_feature_layer = {layer}, but there are {tower.n_layers} layers.")
    image = raw.get("image_token_index", raw.get("image_token_id", 32000))
    return VlmConfig(
        family,
        replace(tower, n_layers=layers, final_norm=False),
        config_from_dict(text),
        int(image),
        activation=raw.get("projector_hidden_act", "gelu"),
        bias=bool(raw.get("multimodal_projector_bias", True)),
        dropped_layers=tower.n_layers - layers,
    )


def vlm_to_dict(config: VlmConfig) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes an Idefics3 or SmolVLM.

    Raises:
      ValueError: for a LLaVA, of whose tower a part is not there any more.
    """
    if config.family == "llava":
        raise ValueError("a LLaVA's tower is not whole and cannot be written.")
    return {
        "architectures": [_ARCHITECTURES[config.family]],
        "model_type": config.family,
        "image_token_id": config.image_token_id,
        "scale_factor": config.shuffle,
        "tie_word_embeddings": config.text.tie_embeddings,
        "text_config": config_to_dict(config.text),
        "vision_config": tower_to_dict(config.vision, _TOWERS[config.family]),
    }
