"""Live comparison with transformers and PyTorch; skipped where they are not installed."""

import warnings

import jax
import numpy as np
import pytest

from spexjax.models.bert import weights
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.bert.families import apply
from spexjax.models.bert.inside import attention_of, hidden_states
from spexjax.models.bert.model import Classifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch and transformers warn on import
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")

DEBERTA = {
    "relative_attention": True, "share_att_key": True, "position_biased_input": False,
    "norm_rel_ebd": "layer_norm", "pos_att_type": "p2c|c2p",
}  # fmt: skip
CASES = {
    "small": (
        "DistilBert",
        {"vocab_size": 300, "dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
    ),
    "one layer": (
        "DistilBert",
        {"vocab_size": 90, "dim": 16, "n_layers": 1, "n_heads": 1, "hidden_dim": 16,
         "num_labels": 5},
    ),
    "distilbert-base": ("DistilBert", {}),
    "roberta": (
        "Roberta",
        {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "num_labels": 3, "max_position_embeddings": 66,
         "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    ),
    "xlm-roberta": (
        "XLMRoberta",
        {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 66, "type_vocab_size": 1},
    ),
    "modernbert": (
        "ModernBert",
        {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
         "intermediate_size": 24, "num_labels": 3, "local_attention": 8, "pad_token_id": 0},
    ),
    "modernbert, mean": (
        "ModernBert",
        {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "classifier_pooling": "mean", "norm_bias": True,
         "attention_bias": True, "mlp_bias": True, "classifier_bias": True, "pad_token_id": 0},
    ),
    "deberta-v3": (
        "DebertaV2",
        {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "num_labels": 3, "position_buckets": 8, **DEBERTA},
    ),
    "deberta-v3, each distance": (
        "DebertaV2",
        {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 40, "position_buckets": -1,
         "type_vocab_size": 2, **DEBERTA},
    ),
    "bert": (
        "Bert",
        {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "num_labels": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_logits(case, tmp_path):
    name, settings = CASES[case]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**settings)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Small ones are moved so far that everything in them counts.
            scale = 0.02 if parameter.numel() > 20_000 else 0.15
            parameter.add_(scale * torch.randn(parameter.shape))
    model.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    ids = rng.integers(1, config.vocab_size, (6, 40), dtype=np.int32)
    keep = np.arange(40) < np.array([40, 1, 7, 20, 33, 39])[:, None]
    inputs = {"input_ids": ids, "attention_mask": keep.astype(np.int64)}
    types = None
    if name == "Bert":
        types = (rng.random(ids.shape) < 0.5).astype(np.int32)
        inputs["token_type_ids"] = types
    with torch.no_grad():
        want = model(**{k: torch.tensor(v, dtype=torch.long) for k, v in inputs.items()}).logits
    ours, params = weights.load(tmp_path)
    if types is None:
        found = jax.jit(apply, static_argnums=0)(ours, params, ids, keep)
    else:
        found = jax.jit(Classifier(ours).apply)({"params": params}, ids, keep, types)
    assert want.std() > (0.01 if case == "distilbert-base" else 0.1)
    np.testing.assert_allclose(found, want.numpy(), atol=1e-4)


def test_the_inside(tmp_path):
    config = transformers.DistilBertConfig(
        vocab_size=90, dim=24, n_layers=3, n_heads=4, hidden_dim=32,
        attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.DistilBertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    ours, params = weights.load(tmp_path)
    ids = np.random.default_rng(0).integers(1, 90, (3, 11), dtype=np.int32)
    keep = np.arange(11) < np.array([11, 4, 8])[:, None]
    with torch.no_grad():
        want = model(
            torch.tensor(ids, dtype=torch.long), torch.tensor(keep, dtype=torch.long),
            output_hidden_states=True, output_attentions=True,
        )  # fmt: skip
    assert len(want.hidden_states) == 4
    for layer, states in enumerate(want.hidden_states):
        found = hidden_states(ours, params, ids, keep, layer)
        np.testing.assert_allclose(found[keep], states.numpy()[keep], atol=1e-4)
    for layer, head, query in [(0, 0, 0), (2, 3, 2), (1, 2, 3)]:
        found = attention_of(ours, params, ids, keep, layer, head, query)
        np.testing.assert_allclose(found, want.attentions[layer][:, head, query], atol=1e-5)


def test_transformers_loads_what_is_saved(tmp_path):
    model = load_classifier()
    folder = tmp_path / "saved"
    weights.save(folder, model.config, model.params)
    theirs = transformers.DistilBertForSequenceClassification.from_pretrained(folder).eval()
    ids = np.random.default_rng(0).integers(5, model.config.vocab_size, (4, 30), dtype=np.int32)
    with torch.no_grad():
        want = theirs(input_ids=torch.tensor(ids, dtype=torch.long)).logits.numpy()
    found = apply(model.config, model.params, ids, np.ones(ids.shape, bool))
    np.testing.assert_allclose(found, want, atol=1e-4)


def test_transformers_loads_the_embedded_model():
    from importlib import resources

    text = "Her acting never fails to impress, and it isn't bad."
    with resources.as_file(resources.files("spexjax.models.mini") / "sentiment") as folder:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        want = theirs(**inputs).logits.numpy()[0]
    model = load_classifier()
    assert inputs["input_ids"][0].tolist() == model.tokenizer.encode(text).ids
    np.testing.assert_allclose(model.logits(text), want, atol=1e-4)
    assert theirs.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
