"""The geometry of Llama and the families that share its shape, from ``config.json`` and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Family = Literal["llama", "mistral", "qwen2", "qwen3"]

# Our field: the key in config.json.
_KEYS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_position_embeddings",
    "bos_token_id": "bos_token_id",
    "pad_token_id": "pad_token_id",
}
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
# What transformers takes for keys that a folder leaves out, where it differs from Llama's.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"n_kv_heads": 8, "hidden_dim": 14336, "max_position_embeddings": 131072},
    "qwen2": {"vocab_size": 151936, "hidden_dim": 22016, "max_position_embeddings": 32768},
    "qwen3": {
        "vocab_size": 151936,
        "hidden_dim": 22016,
        "max_position_embeddings": 32768,
        "head_dim": 128,
    },
}


@dataclass(frozen=True)
class RopeScaling:
    """How the rotary frequencies are stretched for contexts longer than those trained on.

    Attributes:
      kind: "linear" (Chen et al. 2023: all by ``factor``) or "llama3" (Llama 3.1, §3.4.2: long
        waves by ``factor``, short ones not at all, a ramp between).
      factor: by how much.
      low_freq_factor: waves longer than ``original_positions / low_freq_factor`` are stretched.
      high_freq_factor: waves shorter than ``original_positions / high_freq_factor`` are not.
      original_positions: the context trained on.
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class LlamaConfig:
    """The geometry of a causal language model; the defaults are Llama-2-7B's.

    Attributes:
      family: whose ``config.json`` and names of tensors.
      dim: width of the residual stream; hidden_dim: of the gated layer.
      n_kv_heads: heads of keys and values, each shared by n_heads / n_kv_heads queries.
      rope_theta: base of the rotary wavelengths.
      attention_bias: biases of query, key and value; out_bias: of what joins the heads.
      qk_norm: whether queries and keys are normalised per head (Qwen 3).
      sliding_window: a token sees only so many tokens, itself included, in the layers from
        ``first_windowed_layer``; None for all of them.

    Raises:
      ValueError: if the family is unknown, the head counts do not divide, or head_dim is odd.
    """

    family: Family = "llama"
    vocab_size: int = 32000
    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int = 32
    head_dim: int = 128
    hidden_dim: int = 11008
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    max_position_embeddings: int = 2048
    tie_embeddings: bool = False
    attention_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding_window: int | None = None
    first_windowed_layer: int = 0
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise ValueError(f"family must be one of {get_args(Family)}, got {self.family!r}.")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads = {self.n_kv_heads} must divide n_heads = {self.n_heads}."
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, got {self.head_dim}.")

    @property
    def weights_of_layers(self) -> int:
        """Numbers in the matrices of all layers."""
        heads = 2 * self.n_heads + 2 * self.n_kv_heads
        each = heads * self.head_dim * self.dim + 3 * self.dim * self.hidden_dim
        return self.n_layers * each


def config_from_dict(raw: Mapping[str, Any]) -> LlamaConfig:
    """A :class:`LlamaConfig` from the contents of a Hugging Face ``config.json``.

    Keys left out take the published defaults of the family.

    Raises:
      ValueError: for another family of models, or a setting under which the stored weights would
        mean something else.
    """
    family: Any = raw.get("model_type")
    if family not in get_args(Family):
        raise ValueError(f"model_type must be one of {get_args(Family)}, got {family!r}.")
    architectures = raw.get("architectures") or [_ARCHITECTURES[family]]
    if _ARCHITECTURES[family] not in architectures:
        raise ValueError(
            f"architectures = {architectures} is not supported, only {_ARCHITECTURES[family]!r}."
        )
    if raw.get("quantization_config"):
        raise ValueError("quantization_config: stored quantised weights are not read, only full.")
    values = dict(_DEFAULTS[family])
    values |= {ours: raw[key] for ours, key in _KEYS.items() if raw.get(key) is not None}
    base = LlamaConfig()
    values.setdefault("n_kv_heads", values.get("n_heads", base.n_heads))
    values.setdefault(
        "head_dim", values.get("dim", base.dim) // values.get("n_heads", base.n_heads)
    )
    rope = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    for name, found, want in (
        ("hidden_act", raw.get("hidden_act"), "silu"),
        ("partial_rotary_factor", rope.get("partial_rotary_factor"), 1.0),
        ("partial_rotary_factor", raw.get("partial_rotary_factor"), 1.0),
    ):
        if found not in (want, None):
            raise ValueError(f"{name} = {found!r} is not supported, only {want!r}.")
    values["rope_theta"] = float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0)
    positions = values.get("max_position_embeddings", base.max_position_embeddings)
    values["rope_scaling"] = _rope_scaling(rope, positions)
    values["tie_embeddings"] = bool(raw.get("tie_word_embeddings", False))
    bias = bool(raw.get("attention_bias", False)) and family in ("llama", "qwen3")
    values["attention_bias"] = bias or family == "qwen2"
    values["out_bias"] = bias
    values["mlp_bias"] = bool(raw.get("mlp_bias", False)) and family == "llama"
    values["qk_norm"] = family == "qwen3"
    eos = raw.get("eos_token_id")
    values["eos_token_ids"] = () if eos is None else tuple(eos if isinstance(eos, list) else [eos])
    return LlamaConfig(
        family=family, **values, **_window(raw, family, values.get("n_layers", base.n_layers))
    )


def config_to_dict(config: LlamaConfig) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes ``config``.

    Raises:
      ValueError: if those of its family cannot, since no such model has, say, these biases.
    """
    c = config
    raw = {key: getattr(c, ours) for ours, key in _KEYS.items()}
    raw |= {
        "architectures": [_ARCHITECTURES[c.family]],
        "model_type": c.family,
        "hidden_act": "silu",
        "tie_word_embeddings": c.tie_embeddings,
        "attention_bias": c.out_bias,
        "mlp_bias": c.mlp_bias,
        "rope_theta": c.rope_theta,
        "rope_scaling": None,
        "eos_token_id": list(c.eos_token_ids) if c.eos_token_ids[1:] else None,
    }
    if len(c.eos_token_ids) == 1:
        raw["eos_token_id"] = c.eos_token_ids[0]
    if c.rope_scaling is not None:
        s = c.rope_scaling
        raw["rope_scaling"] = {"rope_type": s.kind, "factor": s.factor}
        if s.kind == "llama3":
            raw["rope_scaling"] |= {
                "low_freq_factor": s.low_freq_factor,
                "high_freq_factor": s.high_freq_factor,
                "original_max_position_embeddings": s.original_positions,
            }
    if c.family != "llama":
        raw["sliding_window"] = c.sliding_window
    if c.family.startswith("qwen"):
        raw["use_sliding_window"] = c.sliding_window is not None
        raw["max_window_layers"] = c.first_windowed_layer
    again = config_from_dict(raw)
    lost = [f.name for f in fields(c) if getattr(c, f.name) != getattr(again, f.name)]
    if lost:
        what = ", ".join(f"{name} = {getattr(c, name)!r}" for name in lost)
        raise ValueError(f"The configuration of a {c.family} model cannot say {what}.")
    return raw


def _rope_scaling(rope: Mapping[str, Any], positions: int) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling("linear", float(rope["factor"]))
    if kind == "llama3":
        return RopeScaling(
            "llama3",
            float(rope["factor"]),
            float(rope["low_freq_factor"]),
            float(rope["high_freq_factor"]),
            int(rope.get("original_max_position_embeddings", positions)),
        )
    raise ValueError(f"rope_type = {kind!r} is not supported, only default, linear and llama3.")


def _window(raw: Mapping[str, Any], family: str, n_layers: int) -> dict[str, Any]:
    """Sliding windows: of every layer (Mistral), or of the later ones where asked for (Qwen)."""
    window = raw.get("sliding_window", 4096 if family in ("mistral", "qwen2", "qwen3") else None)
    used = family == "mistral" or (family != "llama" and raw.get("use_sliding_window", False))
    if window is None or not used:
        return {}
    first = 0 if family == "mistral" else int(raw.get("max_window_layers", 28))
    kinds = raw.get("layer_types")
    if kinds and family != "mistral":
        slides = [kind == "sliding_attention" for kind in kinds]
        first = n_layers - sum(slides)
        if slides != [i >= first for i in range(n_layers)]:
            raise ValueError("layer_types: windows are supported in the last layers only.")
    return {"sliding_window": int(window), "first_windowed_layer": first}
