"""The geometry of CLIP: two towers and the width in which they meet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spexjax.models.nn.prenorm import Activation, Width
from spexjax.models.vit.config import VitConfig, tower_from_dict


@dataclass(frozen=True)
class ClipTextConfig:
    """The text tower; the defaults are those of CLIP-ViT-B/32.

    Attributes:
      eos_token_id: ends a caption; its first place is where the caption is read. The value 2 is
        what older folders say by mistake; there it is the place of the largest id.
    """

    vocab_size: int = 49408
    dim: int = 512
    n_layers: int = 12
    n_heads: int = 8
    hidden_dim: int = 2048
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5
    max_position_embeddings: int = 77
    eos_token_id: int = 49407

    @property
    def width(self) -> Width:
        """The sizes of a layer."""
        return Width(self.dim, self.n_heads, self.hidden_dim, self.activation, self.norm_eps)


@dataclass(frozen=True)
class ClipConfig:
    """Both towers and the width of what they are projected to."""

    vision: VitConfig
    text: ClipTextConfig
    projection_dim: int = 512


_KEYS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "norm_eps": "layer_norm_eps",
    "max_position_embeddings": "max_position_embeddings",
    "eos_token_id": "eos_token_id",
}


def clip_from_dict(raw: Mapping[str, Any]) -> ClipConfig:
    """A :class:`ClipConfig` from the contents of a Hugging Face ``config.json``.

    Raises:
      ValueError: for another family of models.
    """
    kind = raw.get("model_type")
    if kind != "clip":
        raise ValueError(f"model_type must be 'clip', got {kind!r}.")
    text, tower = dict(raw.get("text_config") or {}), dict(raw.get("vision_config") or {})
    values: dict[str, Any] = {
        ours: text[key] for ours, key in _KEYS.items() if text.get(key) is not None
    }
    width = int(raw.get("projection_dim", 512))
    vision = tower_from_dict({**tower, "model_type": "clip_vision_model"})
    vision = replace(vision, pooling="class", projection_dim=width)
    return ClipConfig(vision, ClipTextConfig(**values), width)
