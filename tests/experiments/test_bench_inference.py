"""The benchmark of masked inference runs and measures the values that it should."""

import numpy as np
import pytest

from spexjax.experiments.bench import inference as bench_inference
from spexjax.models.values.text import value_function


def test_table(monkeypatch):
    monkeypatch.setitem(
        bench_inference.GEOMETRIES, "small", {"dim": 16, "n_layers": 1, "n_heads": 2}
    )
    monkeypatch.setattr(bench_inference, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_inference, "matrix_rate", lambda dtype, size: 1e6)
    monkeypatch.setattr(
        bench_inference, "after_one", lambda calls, repeats: np.array([[3.0], [2.0], [1.0]])
    )
    rows = list(bench_inference.run(bench_inference.Config(20, 9, "small")).rows)
    assert [row[0].split(",")[0] for row in rows] == ["float32"] * 2 + ["bfloat16"] * 2
    assert [row[1] for row in rows] == [10.0] * 4  # 20 masks in two seconds
    weights = 4 * 16**2 + 2 * 16 * 3072
    assert rows[0][2] == pytest.approx(2 * weights * 20 * 12 / 2.0 / 1e6)  # rows of 12 tokens
    assert rows[1][2] < rows[0][2]  # shorter texts are fewer tokens


def test_like_for_like_gives_the_same_values():
    model = bench_inference.random_classifier("small")
    f = value_function(model, bench_inference.sentence(40), replacement="delete", rows=8)
    masks = np.random.default_rng(0).random((24, 40)) < 0.4
    assert len(dict(f._batches(masks))) > 1 or len(f.template.ids) > 32
    found = bench_inference.like_for_like(f, masks)
    np.testing.assert_allclose(found, f(masks), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_peer_computes_the_same():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = bench_inference.random_classifier("small")
    f = value_function(model, bench_inference.sentence(12))
    masks = np.random.default_rng(0).random((10, 12)) < 0.5
    theirs = bench_inference.Torch(model, "float32")
    for length in (None, len(f.template.ids)):
        np.testing.assert_allclose(theirs(f, masks, 4, length), f(masks), atol=1e-4)
