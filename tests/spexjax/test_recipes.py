"""Every block of RECIPES.md runs, and explains what it says."""

import re
import socket
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from fake_endpoint import WEIGHTS, FakeEndpoint

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "RECIPES.md").read_text(), re.M | re.S)


def run(words, **names):
    """Executes the one block that contains ``words``; returns its names."""
    (block,) = [b for b in BLOCKS if words in b]
    exec(compile(block, "RECIPES.md", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def is_exact(names, n):
    """The explanation is of n features and agrees with the function everywhere."""
    e, f = names["e"], names["f"]
    masks = np.random.default_rng(0).random((50, n)) < 0.5
    assert (e.n, e.method, e.calls) == (n, "exact", 2**n)
    np.testing.assert_allclose(e.predict(masks), np.asarray(f(masks)), rtol=1e-3, atol=1e-3)
    return e.spectrum.to_dict()


def test_all_blocks_are_tested():
    assert len(BLOCKS) == 10


def test_values_from_elsewhere():
    names = run('np.save("values.npy"')
    found = names["e"].interactions("Moebius", 2)
    assert [members for members, _ in found.top(2)] == [(3,), (4, 5)]


def test_a_transformers_pipeline():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from spexjax.models.bert.classifier import load_classifier
    from spexjax.models.values.text import value_function

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those libraries warn of each other
        names = run("transformers", MODEL=str(ROOT / "models" / "mini" / "sentiment"))
        is_exact(names, 6)
    # The same weights in JAX say the same.
    ours = value_function(load_classifier(), " ".join(names["words"]), score="probability")
    masks = np.random.default_rng(1).random((20, 6)) < 0.5
    np.testing.assert_allclose(names["f"](masks), ours(masks), atol=1e-4)


def test_a_scikit_learn_model():
    pytest.importorskip("sklearn")
    names = run("RandomForestRegressor")
    is_exact(names, 10)
    e, data = names["e"], names["data"]
    assert float(e.full) == pytest.approx(names["model"].predict(data.data[:1])[0], rel=1e-5)
    assert e.features == tuple(data.feature_names)


def test_an_image_classifier():
    pytest.importorskip("sklearn")
    names = run("image_grid")
    is_exact(names, 9)
    assert float(names["e"].full) > 0.99  # it is a 0


def test_superpixels():
    pytest.importorskip("skimage")
    names = run("slic")
    n = names["f"].n
    assert 4 <= n <= 10
    # A mean over pixels is a sum over segments.
    assert all(len(k) < 2 or abs(v) < 1e-3 for k, v in is_exact(names, n).items())


def test_a_jax_function():
    is_exact(run("on_device"), 10)


def test_a_model_behind_an_api(capsys):
    pytest.importorskip("openai")
    with FakeEndpoint() as server:
        names = run("api_value", URL=server.url)
        found = is_exact(names, 4)
    assert found[(3,)] == pytest.approx(-WEIGHTS["w3"] / 2, abs=1e-4)
    assert "16 calls" in capsys.readouterr().out and Path("calls.sqlite").is_file()


def test_paying_once():
    names = run("my model v1")
    found = {k: v for k, v in is_exact(names, 8).items() if abs(v) > 1e-6}
    assert found == {(): 0.75, (0,): -1.0, (1,): 0.25, (2,): 0.25, (1, 2): -0.25}


def test_several_hosts():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    is_exact(run("hosts.initialize", ADDRESS=f"127.0.0.1:{port}", COUNT=1, NUMBER=0), 6)
    assert Path("calls/process-0.sqlite").is_file() and Path("explanation.json").is_file()


def test_a_model_larger_than_one_device():
    from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
    from spexjax.models.llama.weights import save_llama

    config = LlamaConfig(vocab_size=40, dim=16, n_layers=1, n_heads=4, n_kv_heads=2, head_dim=4,
                         hidden_dim=24, max_position_embeddings=32)  # fmt: skip
    params = init_params(config, jax.random.key(1))
    save_llama("model", config, params)
    found = run("device_mesh", FOLDER="model")
    hidden, _ = Llama(config).apply({"params": params}, [[5, 6, 7]])
    want = unembed(config, params, hidden[:, -1])
    assert found["logits"].shape == (1, 40)
    np.testing.assert_allclose(found["logits"], want, atol=0.1)  # bfloat16
