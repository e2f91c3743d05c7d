"""The benchmark of masked images measures the same values on both sides."""

from dataclasses import replace

import numpy as np
import pytest

from spexjax.experiments.bench import vision

SMALL = {"dim": 24, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "image_size": 24}
CONFIG = {"masks": 6, "grid": (2, 3), "rows": 4, "repeats": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    vlm = vision.VLMS["base"]
    text = replace(vlm.text, vocab_size=64, dim=24, n_layers=2, n_heads=2, n_kv_heads=1,
                   head_dim=12, hidden_dim=32)  # fmt: skip
    tower = replace(vlm.vision, patch_size=6, **SMALL)
    monkeypatch.setitem(vision.VLMS, "base", replace(vlm, vision=tower, text=text))
    vit = replace(vision.VITS["base"], patch_size=8, num_labels=3, **SMALL)
    monkeypatch.setitem(vision.VITS, "base", vit)
    monkeypatch.setattr(vision, "matrix_rate", lambda dtype, size: 1e6)
    monkeypatch.setattr(
        vision, "after_one", lambda calls, repeats: np.array([[3.0, 3.0], [2.0, 4.0], [1.0, 5.0]])
    )


@pytest.mark.parametrize("model", ["vit", "vlm"])
def test_ours_alone(model, monkeypatch):
    monkeypatch.setattr(vision, "find_spec", lambda name: None)
    rows = list(vision.run(vision.Config(model, **CONFIG)).rows)
    assert len(rows) == 1 and rows[0][2] == 3.0  # six masks in two seconds
    tower = 2 * (4 * 24**2 + 2 * 24 * 32)
    if model == "vit":
        assert rows[0][3] == pytest.approx(2 * tower * 10 * 3.0 / 1e6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["vit", "vlm"])
def test_peer_computes_the_same(model):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    row = next(iter(vision.run(vision.Config(model, **CONFIG)).rows))
    assert row[4:8] == (1.5, 2.0, 1.0, 5.0) and row[8] < 1e-4
