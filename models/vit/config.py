"""The geometry of a Vision Transformer, from ``config.json`` and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from spexjax.models.nn.prenorm import Activation, Width

Family = Literal["vit", "siglip", "clip"]
Pooling = Literal["class", "attention", "none"]

# Our field: the key in config.json.
_KEYS = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "channels": "num_channels",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "norm_eps": "layer_norm_eps",
}
_FAMILIES: dict[str, Family] = {
    "vit": "vit",
    "siglip_vision_model": "siglip",
    "clip_vision_model": "clip",
    "idefics3_vision": "siglip",
    "smolvlm_vision": "siglip",
}
# What transformers takes for keys that a folder leaves out, by model_type.
_BASE = {"dim": 768, "n_layers": 12, "n_heads": 12, "hidden_dim": 3072, "image_size": 224}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "vit": _BASE | {"patch_size": 16, "activation": "gelu", "norm_eps": 1e-12},
    "siglip_vision_model": _BASE
    | {"patch_size": 16, "activation": "gelu_pytorch_tanh", "norm_eps": 1e-6},
    "clip_vision_model": _BASE | {"patch_size": 32, "activation": "quick_gelu", "norm_eps": 1e-5},
    "idefics3_vision": _BASE
    | {"dim": 1152, "n_heads": 16, "patch_size": 32}
    | {"activation": "gelu_pytorch_tanh", "norm_eps": 1e-6},
    "smolvlm_vision": _BASE
    | {"dim": 1152, "n_heads": 16, "patch_size": 32}
    | {"activation": "gelu_pytorch_tanh", "norm_eps": 1e-6},
}


@dataclass(frozen=True)
class VitConfig:
    """The geometry of an image tower; the defaults are ViT-B/16's.

    Attributes:
      family: "vit" (Dosovitskiy et al. 2021) and "clip" (Radford et al. 2021) put a class token in
        front, CLIP also a norm before the first layer; "siglip" (Zhai et al. 2023) has neither.
      image_size: pixels of a side; patch_size: of a patch's side.
      dim, n_layers, n_heads, hidden_dim: of the layers.
      activation: of the hidden layer.
      final_norm: whether the states pass a norm at the end.
      pooling: what stands for the whole image: the class token, SigLIP's attention by a learnt
        query, or nothing.
      projection_dim: what is pooled is projected to so many, if given (CLIP).
      num_labels: classes of a classifier, 0 for none; label_names: their names.
      fractional_positions: positions are found by rounding fractions of the image's side, as
        Idefics3 does, which for some sizes is not 0, 1, 2, ….

    Raises:
      ValueError: if the family, activation or pooling is unknown, the heads do not divide ``dim``,
        or the patches do not divide the image.
    """

    family: Family = "vit"
    image_size: int = 224
    patch_size: int = 16
    channels: int = 3
    dim: int = 768
    n_layers: int = 12
    n_heads: int = 12
    hidden_dim: int = 3072
    activation: Activation = "gelu"
    norm_eps: float = 1e-12
    qkv_bias: bool = True
    final_norm: bool = True
    pooling: Pooling = "class"
    projection_dim: int | None = None
    num_labels: int = 0
    label_names: tuple[str, ...] = ()
    fractional_positions: bool = False

    def __post_init__(self) -> None:
        for name, options in (("family", Family), ("activation", Activation), ("pooling", Pooling)):
            if (value := getattr(self, name)) not in get_args(options):
                raise ValueError(f"{name} must be one of {get_args(options)}, got {value!r}.")
        if self.dim % self.n_heads:
            raise ValueError(f"n_heads = {self.n_heads} must divide dim = {self.dim}.")
        if self.image_size < self.patch_size:
            raise ValueError(
                f"an image of {self.image_size} pixels has no patch of {self.patch_size}."
            )

    @property
    def side(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        """States of an image: its patches, and the class token if there is one."""
        return self.side**2 + self.class_token

    @property
    def class_token(self) -> bool:
        """Whether a class token stands in front of the patches."""
        return self.family != "siglip"

    @property
    def width(self) -> Width:
        """The sizes of a layer."""
        return Width(
            self.dim, self.n_heads, self.hidden_dim, self.activation, self.norm_eps, self.qkv_bias
        )


def tower_from_dict(raw: Mapping[str, Any]) -> VitConfig:
    """An image tower without a head, from its part of a ``config.json``.

    Keys left out take the published defaults of the family.

    Raises:
      ValueError: for another family of models, or an image that is not square.
    """
    kind = raw.get("model_type")
    if kind not in _FAMILIES:
        raise ValueError(f"model_type must be one of {tuple(_FAMILIES)}, got {kind!r}.")
    values = dict(_DEFAULTS[kind])
    values |= {ours: raw[key] for ours, key in _KEYS.items() if raw.get(key) is not None}
    for name in ("image_size", "patch_size"):
        sides = values[name] if isinstance(values[name], list | tuple) else [values[name]]
        if len(set(sides)) > 1:
            raise ValueError(f"{name} = {values[name]} is not square.")
        values[name] = int(sides[0])
    return VitConfig(
        family=_FAMILIES[kind],
        pooling="none",
        qkv_bias=bool(raw.get("qkv_bias", True)),
        fractional_positions=kind in ("idefics3_vision", "smolvlm_vision"),
        **values,
    )


def tower_to_dict(config: VitConfig, model_type: str) -> dict[str, Any]:
    """The part of a ``config.json`` that describes an image tower."""
    return {key: getattr(config, ours) for ours, key in _KEYS.items()} | {"model_type": model_type}
