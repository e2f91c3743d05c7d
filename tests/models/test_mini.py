"""The embedded classifier, and the parts of its training that need no data."""

import dataclasses
from functools import partial
from importlib import resources
from pathlib import Path

import jax
import numpy as np
import pytest

from spexjax.models.bert.classifier import load_classifier
from spexjax.models.bert.model import Config
from spexjax.models.mini.sentiment import batches, data, learner
from spexjax.models.mini.sentiment import train as train_sentiment
from spexjax.models.values.text import value_function


@pytest.fixture(scope="module")
def model():
    return load_classifier()


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("A wonderful, moving film with superb acting.", True),
        ("One of the best movies of the year!", True),
        ("I loved every minute of it.", True),
        ("A dull, lifeless and boring mess.", False),
        ("The worst movie I have ever seen.", False),
        ("The plot is stupid and the acting is terrible.", False),
    ],
)
def test_obvious_sentences(model, text, positive):
    logits = model.logits(text)
    assert (logits[1] > logits[0]) == positive
    f = value_function(model, text)
    masks = np.ones((2, f.n), bool)
    masks[1] = False
    full, empty = f(masks)
    np.testing.assert_allclose(full, logits[1], atol=2e-5)
    assert (full > empty) == positive


def test_geometry_and_size(model):
    folder = resources.files("spexjax.models.mini") / "sentiment"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files.keys()
    assert sum(files.values()) <= 5_000_000
    assert model.config.max_position_embeddings >= 512
    assert model.config.vocab_size == model.tokenizer.get_vocab_size()
    assert model.label_names == ("NEGATIVE", "POSITIVE")
    assert model.positive_label == 1


def test_a_long_text_uses_all_positions(model):
    text = "good film . " * 100
    f = value_function(model, text)
    assert f.n == 300
    assert not f.source.cut
    np.testing.assert_allclose(f(np.ones((1, f.n), bool)), model.logits(text)[1:], atol=2e-5)


def test_held_out_sentences_do_not_leak():
    sentences = [
        f"the {a} film is a very {b} one , {a} and {b} ." for a in "abcdef" for b in "uvwxyz"
    ]
    phrases = [w for s in sentences for w in (s, s[:-2], s[4:], " ".join(s.split()[:6]), "film")]
    labels = np.arange(len(phrases), dtype=np.int32) % 2
    labels = np.array([labels[phrases.index(p)] for p in phrases])
    split = data.split_sentences(
        data.Examples(phrases, labels), 5, np.random.default_rng(0)
    )  # fmt: skip
    assert len(split.held_out.texts) == len(set(split.held_out.texts)) == 5
    assert set(split.held_out.texts) <= set(sentences)
    assert split.train.texts
    for phrase in split.train.texts:
        assert not any(f" {phrase} " in f" {s} " for s in split.held_out.texts)
    dropped = len(phrases) - len(split.train.texts)
    assert dropped >= 5 * 4
    for text, label in zip(*split.train, strict=True):
        assert label == labels[phrases.index(text)]


def test_readers(tmp_path):
    (tmp_path / "a.tsv").write_text("sentence\tlabel\nit 's  good \t1\nbad\t0\n", encoding="utf-8")
    texts, labels = data.read_sst2(tmp_path / "a.tsv")
    assert texts == ["it 's good", "bad"]
    assert labels.tolist() == [1, 0]
    rows = 'Sentiment\tText\nPositive\t"Say ""hi"".<br /><br />Fine"\nNegative\tno\n'
    (tmp_path / "b.tsv").write_text(rows, encoding="utf-8")
    texts, labels = data.read_imdb(tmp_path / "b.tsv")
    assert texts == ['Say "hi". Fine', "no"]
    assert labels.tolist() == [1, 0]
    assert [data.has_negation(t) for t in ("it is n't", "Not so", "knot")] == [True, True, False]


def test_rows_and_batches():
    rng = np.random.default_rng(0)
    ids = [list(range(1, size + 1)) for size in (3, 8, 9, 16, 40, 2)]
    groups = batches.to_rows(ids, np.arange(6))
    assert [g.ids.shape for g in groups] == [(3, 8), (2, 16), (1, 64)]
    for group in groups:
        for row, label in zip(*group, strict=True):
            assert row[row > 0].tolist() == ids[label]
    many = batches.to_rows([[1, 2]] * 100, np.arange(100))
    seen = [b.labels for b in batches.batches(many, 8 * 16, rng)]
    assert [len(s) for s in seen] == [16] * 6
    assert len(np.unique(np.concatenate(seen))) == 96
    long = [2, *range(10, 110), 3]
    (cut,) = batches.windows([long], 20, rng)
    assert cut[0] == 2
    assert cut[-1] == 3
    assert len(cut) <= 20
    assert np.all(np.diff(cut[1:-1]) == 1)


def test_loss_without_noise_is_the_cross_entropy(classifier, key):
    config = dataclasses.replace(classifier.config, dropout=0.0, attention_dropout=0.0,
                                 head_dropout=0.0)  # fmt: skip
    s = learner.Settings(smoothing=0.0, mask_rows=0.0)
    texts = ["her acting is good", "bad film"]
    ids = batches.encode(classifier.tokenizer, texts)
    (group,) = batches.to_rows(ids, np.array([1, 0]))
    found = jax.jit(partial(learner.loss, config, s, 1))(classifier.params, group, key)
    logits = np.stack([classifier.logits(t) for t in texts]).astype(float)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found, -np.mean(np.log([p[0, 1], p[1, 0]])), rtol=1e-4)
    masked = dataclasses.replace(s, mask_rows=1.0, mask_rate=1.0)
    many = batches.Rows(*(np.repeat(x, 16, axis=0) for x in group))
    other = jax.jit(partial(learner.loss, config, masked, 1))(classifier.params, many, key)
    assert abs(float(other - found)) > 1e-4


@pytest.mark.loose_promotion
def test_training_learns_and_keeps_positions_fixed(key):
    s = learner.Settings(
        dim=16, n_heads=2, n_layers=1, hidden_dim=16, positions=64, epochs=2, tokens_per_step=128,
        peak_rate=5e-2, dropout=0.0, average=0.5,
    )  # fmt: skip
    config = Config(
        vocab_size=12, dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=64,
        dropout=0.0, attention_dropout=0.0, head_dropout=0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    ids = [[2, *rng.integers(5, 9, 3), 10 + i % 2, 3] for i in range(400)]
    rows = batches.to_rows(ids, np.arange(400) % 2)
    lines = []
    params, history = train_sentiment.fit(
        config, s, 1, rows, (ids[:2], np.array([0, 1])), rows, lines.append
    )
    assert len(history) == len(lines) == 2
    assert train_sentiment.score(config, params, rows)["accuracy"] > 0.95
    np.testing.assert_allclose(
        params["encoder"]["position"]["embedding"],
        0.1 * learner.sinusoids(64, 16),
        atol=1e-6,
    )
    assert jax.tree.all(jax.tree.map(lambda x: np.isfinite(x).all(), params))


def test_the_command_sets_what_it_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(train_sentiment, "train", lambda *asked: {"asked": str(asked)})
    options = ["--data", str(tmp_path), "--dim", "64", "--peak-rate", "1e-4", "--out", "there"]
    train_sentiment.main(options)
    want = learner.Settings(dim=64, peak_rate=1e-4)
    assert str((tmp_path, Path("there"), want)) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        train_sentiment.main([*options, "--dim", "wide"])
    assert "dim" in capsys.readouterr().err


def test_the_command_needs_data(capsys, monkeypatch):
    monkeypatch.delenv("SPEXJAX_DATA", raising=False)
    with pytest.raises(SystemExit) as stopped:
        train_sentiment.main([])
    assert stopped.value.code == 2
    assert "--data" in capsys.readouterr().err
