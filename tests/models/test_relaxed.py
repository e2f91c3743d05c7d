"""Texts of which features are there in part, and integrated gradients of models."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spexjax as sx
from spexjax.methods.integrated_gradients import IntegratedGradients
from spexjax.models.bert.classifier import TextClassifier, load_classifier
from spexjax.models.bert.config import Config
from spexjax.models.bert.deberta import DebertaConfig
from spexjax.models.bert.families import apply, init_params
from spexjax.models.bert.modernbert import ModernBertConfig
from spexjax.models.cli.main import main
from spexjax.models.llama.language import load_language_model
from spexjax.models.nn.readouts import Attention, Hidden
from spexjax.models.values.language import language_value
from spexjax.models.values.text import value_function

TEXT = "Her acting never fails to impress, and it's a film I don't want to forget."
SMALL = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40, "num_labels": 3}


def of_family(family, tokenizer):
    vocab_size = tokenizer.get_vocab_size()
    config = {
        "distilbert": lambda: Config(vocab_size=vocab_size, **SMALL),
        "bert": lambda: Config(family="bert", vocab_size=vocab_size, type_vocab_size=2, **SMALL),
        "roberta": lambda: Config(family="roberta", vocab_size=vocab_size, **SMALL),
        "modernbert": lambda: ModernBertConfig(vocab_size=vocab_size, window=8, **SMALL),
        "deberta": lambda: DebertaConfig(vocab_size=vocab_size, buckets=8, **SMALL),
    }[family]()
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(5)
    params = jax.tree.map(lambda x: np.float32(rng.normal(0, 0.3, x.shape)), shapes)
    return TextClassifier(config, params, tokenizer, family)


def by_appended_words(model, f, t):
    """∂f̃/∂(share of a feature) at (t, …, t), by the definition: each token becomes a word of its
    own at the end of the table, and the derivative by its embedding is taken."""
    ids, feature = np.asarray(f.template.ids), np.asarray(f.template.feature)
    inside = np.flatnonzero(feature >= 0)
    table = jnp.asarray(model.params["encoder"]["word"]["embedding"])
    way = table[ids[inside]] - table[int(f.template.replacement)]
    own = ids.copy()
    own[inside] = len(table) + np.arange(len(inside))
    config = replace(model.config, vocab_size=len(table) + len(inside))
    keep = feature != -2

    def value(rows):
        word = {"embedding": jnp.concatenate([table, rows])}
        params = {**model.params, "encoder": {**model.params["encoder"], "word": word}}
        return apply(config, params, own[None], keep[None])[0, f.label]

    at = table[int(f.template.replacement)] + t * way
    slopes = (jax.grad(value)(at) * way).sum(axis=1)
    return np.bincount(feature[inside], np.asarray(slopes), f.n)


@pytest.mark.parametrize("family", ["distilbert", "bert", "roberta", "modernbert", "deberta"])
def test_derivatives_are_those_by_embeddings(family, tokenizer):
    model = of_family(family, tokenizer)
    f = value_function(model, TEXT, label=2)
    assert (np.bincount(f.source.feature[f.source.feature >= 0]) > 1).any()  # words of many tokens
    _, found = f.value_and_gradient(np.full((1, f.n), 0.3))
    expected = by_appended_words(model, f, 0.3)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("score", "replacement"),
    [("logit", "mask"), ("logits", "unk"), (Hidden(1), "unk"), (Attention(0, 1), "unk")],
)
def test_where_features_are_tokens_shares_of_0_and_1_are_masks(classifier, score, replacement):
    f = value_function(classifier, TEXT, "tokens", score=score, replacement=replacement)
    masks = np.random.default_rng(0).random((5, f.n)) < 0.5
    values, gradients = f.value_and_gradient(masks.astype(float))
    expected = f(masks)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
    assert gradients.shape == (5, f.n, *expected.shape[1:])


def test_words_of_the_embedded_model_add_up():
    f = value_function(load_classifier(), "Her acting never fails to impress, and it is not bad.")
    e = sx.explain(f, method=IntegratedGradients(120), budget=200)
    ends = f.value_and_gradient(np.array([[0.0] * f.n, [1.0] * f.n]))[0]
    assert ends[1] == pytest.approx(float(e.full), abs=1e-4)
    total, change = e.interactions("SV").to_array().sum(), float(ends[1] - ends[0])
    assert total == pytest.approx(change, rel=0.01)
    assert e.features == f.words and e.passage.text == f.source.text
    assert {i for (i,), _ in e.interactions("SV", 1).top(2)} == {
        f.words.index("fails"), f.words.index("bad")
    }  # fmt: skip
    # A word has the sum of its tokens.
    tokens = value_function(f.model, f.source.text, "tokens")
    parts = sx.explain(tokens, method=IntegratedGradients(120), budget=130)
    spans = np.array(tokens.source.spans)
    of = [int(np.flatnonzero([a <= s < b for a, b in f.source.spans])[0]) for s in spans[:, 0]]
    summed = np.bincount(of, parts.interactions("SV").to_array(), f.n)
    np.testing.assert_allclose(summed, e.interactions("SV").to_array(), atol=5e-3)


def test_questions_to_a_language_model():
    context = "Mary is in the kitchen. John is in the garden. Mary has the ball."
    f = language_value(load_language_model(), context, "Where is the ball?", features="words")
    e = sx.explain(f, method=IntegratedGradients(64), budget=100)
    ends = f.value_and_gradient(np.array([[0.0] * f.n, [1.0] * f.n]))[0]
    np.testing.assert_allclose(ends[1], float(e.full), rtol=1e-4)
    total = e.interactions("SV").to_array().sum()
    largest = np.abs(e.interactions("SV").to_array()).max()
    assert total == pytest.approx(float(ends[1] - ends[0]), abs=0.02 * largest)
    # Between masks it goes where the derivative says.
    shares = np.full((1, f.n), 0.5)
    _, slope = f.value_and_gradient(shares)
    step = np.zeros(f.n)
    step[np.abs(slope[0]).argmax()] = 0.02
    after = f.value_and_gradient(np.stack([shares[0] + step, shares[0] - step]))[0]
    assert (after[0] - after[1]) / 2 == pytest.approx(float(slope[0] @ step), rel=0.05)


@pytest.mark.parametrize("replacement", ["delete", "pad"])
def test_there_is_no_way_to_nothing(classifier, replacement):
    f = value_function(classifier, TEXT, replacement=replacement)
    with pytest.raises(ValueError, match="'unk' or 'mask'"):
        sx.explain(f, method="integrated-gradients", budget=50)


@pytest.mark.parametrize("shape", [(3,), (0, 13), (2, 5)])
def test_shares_have_a_column_for_each_feature(classifier, shape):
    f = value_function(classifier, TEXT)
    with pytest.raises(ValueError, match="shares must have shape"):
        f.value_and_gradient(np.zeros(shape))


def test_the_command_knows_them(tmp_path, capsys):
    arguments = ["explain", "It never fails.", "--method", "Integrated-Gradients", "--budget", "20"]
    assert main([*arguments, "--no-html", "--json", str(tmp_path / "e.json")]) == 0
    told = capsys.readouterr()
    assert "6 model calls and 14 gradients" in told.err
    assert "integrated-gradients, 20 calls for 4 words" in told.out
    assert sx.Explanation.load(tmp_path / "e.json").method == "integrated-gradients"
    assert main(["design", "--n", "4", *arguments[2:], "--out", str(tmp_path / "d.npz")]) == 1
    assert "only explain(f, …)" in capsys.readouterr().err
    assert not (tmp_path / "d.npz").exists()
