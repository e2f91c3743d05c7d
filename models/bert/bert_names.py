"""The names of the tensors of DistilBERT, BERT, RoBERTa and XLM-R, and where they go."""

from collections.abc import Iterator

from spexjax.models.bert.config import Config
from spexjax.models.checkpoints.folders import Row

_DISTILBERT = {
    "distilbert.embeddings.word_embeddings": "encoder/word",
    "distilbert.embeddings.position_embeddings": "encoder/position",
    "distilbert.embeddings.LayerNorm": "encoder/norm",
    "distilbert.transformer.layer.{i}.attention.q_lin": "encoder/layer_{i}/attention/query",
    "distilbert.transformer.layer.{i}.attention.k_lin": "encoder/layer_{i}/attention/key",
    "distilbert.transformer.layer.{i}.attention.v_lin": "encoder/layer_{i}/attention/value",
    "distilbert.transformer.layer.{i}.attention.out_lin": "encoder/layer_{i}/attention/out",
    "distilbert.transformer.layer.{i}.sa_layer_norm": "encoder/layer_{i}/attention_norm",
    "distilbert.transformer.layer.{i}.ffn.lin1": "encoder/layer_{i}/ffn_in",
    "distilbert.transformer.layer.{i}.ffn.lin2": "encoder/layer_{i}/ffn_out",
    "distilbert.transformer.layer.{i}.output_layer_norm": "encoder/layer_{i}/ffn_norm",
    "pre_classifier": "pre_classifier",
    "classifier": "classifier",
}
_BERT = {
    "bert.embeddings.word_embeddings": "encoder/word",
    "bert.embeddings.position_embeddings": "encoder/position",
    "bert.embeddings.token_type_embeddings": "encoder/token_type",
    "bert.embeddings.LayerNorm": "encoder/norm",
    "bert.encoder.layer.{i}.attention.self.query": "encoder/layer_{i}/attention/query",
    "bert.encoder.layer.{i}.attention.self.key": "encoder/layer_{i}/attention/key",
    "bert.encoder.layer.{i}.attention.self.value": "encoder/layer_{i}/attention/value",
    "bert.encoder.layer.{i}.attention.output.dense": "encoder/layer_{i}/attention/out",
    "bert.encoder.layer.{i}.attention.output.LayerNorm": "encoder/layer_{i}/attention_norm",
    "bert.encoder.layer.{i}.intermediate.dense": "encoder/layer_{i}/ffn_in",
    "bert.encoder.layer.{i}.output.dense": "encoder/layer_{i}/ffn_out",
    "bert.encoder.layer.{i}.output.LayerNorm": "encoder/layer_{i}/ffn_norm",
    "bert.pooler.dense": "pre_classifier",
    "classifier": "classifier",
}
_ROBERTA = {
    name.replace("bert.", "roberta.", 1): path
    for name, path in _BERT.items()
    if name.startswith(("bert.embeddings", "bert.encoder"))
} | {"classifier.dense": "pre_classifier", "classifier.out_proj": "classifier"}
_TABLES = {
    "distilbert": _DISTILBERT, "bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA,
}  # fmt: skip


def rows(config: Config) -> Iterator[Row]:
    """The table of names of a model, one row per tensor."""
    for stored, path in _TABLES[config.family].items():
        if path == "encoder/token_type" and not config.type_vocab_size:
            continue
        for i in range(config.n_layers) if "{i}" in stored else (0,):
            name, keys = stored.format(i=i), tuple(path.format(i=i).split("/"))
            if keys[-1] in ("word", "position", "token_type"):
                yield Row(f"{name}.weight", (*keys, "embedding"), False)
                continue
            norm = keys[-1].endswith("norm")
            yield Row(f"{name}.weight", (*keys, "scale" if norm else "kernel"), not norm)
            yield Row(f"{name}.bias", (*keys, "bias"), False)
