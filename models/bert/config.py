"""The geometry of a classifier, and the ``config.json`` that describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

Family = Literal["distilbert", "bert", "roberta", "xlm-roberta"]

# What transformers takes for keys that a folder leaves out.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "distilbert": {},
    "bert": {"n_layers": 12, "type_vocab_size": 2},
    "roberta": {"n_layers": 12, "type_vocab_size": 2, "vocab_size": 50265, "pad_token_id": 1},
    "xlm-roberta": {"n_layers": 12, "type_vocab_size": 2, "pad_token_id": 1},
}
_ARCHITECTURES = {
    "distilbert": "DistilBert", "bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta",
}  # fmt: skip

# Our field: (DistilBERT's key, BERT's key) in config.json.
_KEYS = {
    "vocab_size": ("vocab_size", "vocab_size"),
    "dim": ("dim", "hidden_size"),
    "n_layers": ("n_layers", "num_hidden_layers"),
    "n_heads": ("n_heads", "num_attention_heads"),
    "hidden_dim": ("hidden_dim", "intermediate_size"),
    "max_position_embeddings": ("max_position_embeddings", "max_position_embeddings"),
    "dropout": ("dropout", "hidden_dropout_prob"),
    "attention_dropout": ("attention_dropout", "attention_probs_dropout_prob"),
    "head_dropout": ("seq_classif_dropout", "classifier_dropout"),
    "pad_token_id": ("pad_token_id", "pad_token_id"),
}


class Labelled(Protocol):
    """A configuration that has classes."""

    @property
    def num_labels(self) -> int: ...
    @property
    def label_names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Config:
    """The geometry of a classifier; the defaults are distilbert-base's.

    ``max_position_embeddings`` is how many tokens the model takes. RoBERTa's table of positions is
    longer by ``first_position``, the row of the first token.

    Raises:
      ValueError: if the family is unknown or the heads do not divide ``dim``.
    """

    family: Family = "distilbert"
    vocab_size: int = 30522
    dim: int = 768
    n_layers: int = 6
    n_heads: int = 12
    hidden_dim: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    num_labels: int = 2
    label_names: tuple[str, ...] = ()
    pad_token_id: int = 0
    norm_eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2

    @property
    def roberta(self) -> bool:
        """Whether it is a RoBERTa: positions are counted from behind the padding's number."""
        return self.family in ("roberta", "xlm-roberta")

    @property
    def first_position(self) -> int:
        """The row of the first token in the table of positions."""
        return self.pad_token_id + 1 if self.roberta else 0

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise ValueError(f"family must be one of {get_args(Family)}, got {self.family!r}.")
        if self.dim % self.n_heads:
            raise ValueError(f"n_heads = {self.n_heads} must divide dim = {self.dim}.")


def config_from_dict(raw: Mapping[str, Any]) -> Config:
    """A :class:`Config` from the contents of a Hugging Face ``config.json``.

    Keys left out take the published defaults of the family.

    Raises:
      ValueError: for another family of models, or an activation, position encoding or decoder
        setting under which the stored weights would mean something else.
    """
    family: Any = raw.get("model_type")
    if family not in get_args(Family):
        raise ValueError(f"model_type must be one of {get_args(Family)}, got {family!r}.")
    bert = family != "distilbert"
    only(raw, **{"hidden_act" if bert else "activation": "gelu"})
    only(raw, position_embedding_type="absolute", is_decoder=False)
    values: dict[str, Any] = {ours: raw.get(keys[bert]) for ours, keys in _KEYS.items()}
    values = {ours: value for ours, value in values.items() if value is not None}
    if bert:
        base = _DEFAULTS[family] | {"head_dropout": raw.get("hidden_dropout_prob", 0.1)}
        values = base | values
        values["type_vocab_size"] = raw.get("type_vocab_size", base["type_vocab_size"])
        values["norm_eps"] = raw.get("layer_norm_eps", 1e-12)
    if family in ("roberta", "xlm-roberta"):
        rows: Any = values.get("max_position_embeddings", 512)
        values["max_position_embeddings"] = rows - values["pad_token_id"] - 1
    return Config(family=family, **values, **labels_from(raw))


def labels_from(raw: Mapping[str, Any]) -> dict[str, Any]:
    """``label_names`` and ``num_labels`` of a ``config.json``, if it names its classes."""
    names = raw.get("id2label")
    if names is None:
        return {}
    names = tuple(names[i] for i in sorted(names, key=int))
    return {"label_names": names, "num_labels": len(names)}


def labels_to(config: Labelled) -> dict[str, Any]:
    """The classes of a configuration as ``config.json`` has them."""
    names = config.label_names or tuple(f"LABEL_{i}" for i in range(config.num_labels))
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def check_length(length: int, most: int) -> None:
    """Raises ``ValueError`` where rows have more tokens than the model has positions."""
    if length > most:
        raise ValueError(
            f"length = {length} tokens exceed max_position_embeddings = {most}; shorten the text."
        )


def only(raw: Mapping[str, Any], **wanted: Any) -> None:
    """Raises ``ValueError`` where a setting is given, and is not the one that is supported."""
    for name, want in wanted.items():
        if raw.get(name, want) != want:
            raise ValueError(f"{name} = {raw[name]!r} is not supported, only {want!r}.")


def config_to_dict(config: Config) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes ``config``."""
    bert = config.family != "distilbert"
    raw = {keys[bert]: getattr(config, ours) for ours, keys in _KEYS.items()}
    raw |= {
        "architectures": [f"{_ARCHITECTURES[config.family]}ForSequenceClassification"],
        "model_type": config.family,
        **labels_to(config),
    }
    raw["max_position_embeddings"] += config.first_position
    if bert:
        family = {"hidden_act": "gelu", "layer_norm_eps": config.norm_eps}
        return raw | family | {"type_vocab_size": config.type_vocab_size}
    return raw | {"activation": "gelu", "sinusoidal_pos_embds": False}
