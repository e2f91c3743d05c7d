"""The blocks of the site that need something of the reader's run, and explain what they say.

Blocks marked ``exec`` run when the site is built; all others here.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from fake_endpoint import WEIGHTS, FakeEndpoint, default_reply

from spexjax.explanation import Explanation
from spexjax.models.api import Endpoint, api_value
from spexjax.models.cli.main import main
from spexjax.models.llama import load_language_model
from spexjax.models.values import language_value
from spexjax.store import Store

ROOT = Path(__file__).parents[2]
PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))
)
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGES, re.M | re.S)
SHELL = re.findall(r"^```sh\n(.*?)^```", PAGES, re.M | re.S)


def run(words, **names):
    """Executes the one block that contains ``words``; returns its names."""
    (block,) = [b for b in BLOCKS if words in b]
    exec(compile(block, "page", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def is_exact(names, n):
    """The explanation is of n features and agrees with the function everywhere."""
    e, f = names["e"], names["f"]
    masks = np.random.default_rng(0).random((50, n)) < 0.5
    assert (e.n, e.method, e.calls) == (n, "exact", 2**n)
    np.testing.assert_allclose(e.predict(masks), np.asarray(f(masks)), rtol=1e-3, atol=1e-3)
    return e.spectrum.to_dict()


def in_a_tab(page, words):
    """Executes the block with ``words`` that stands in a tab of a page; a compiled code."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^    ```python\n(.*?)^    ```", text, re.M | re.S)
    (block,) = [b for b in blocks if words in b]
    return compile(textwrap.dedent(block), page, "exec")


@pytest.mark.slow
def test_what_captum_becomes(capsys):
    pytest.importorskip("captum")
    names: dict = {}
    exec(in_a_tab("coming-from.md", "from captum"), names)
    exec(in_a_tab("coming-from.md", "network(x * "), names)
    theirs = names["ablation"].numpy()[0]
    ours = names["e"].interactions("CoMoebius", 1).to_array()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    sampled = names["sampled"].numpy()[0]
    np.testing.assert_allclose(names["e"].interactions("SV").to_array(), sampled, atol=0.2)


def test_all_blocks_are_tested():
    # The commands about images, which need models, are run in tests/models/test_cli_image.py.
    assert len(BLOCKS) == 17 and len(SHELL) == 8


def test_which_numbers_can_be_believed(capsys):
    names = run("sx.inference.discover")
    assert {(3,), (7,), (5,)} <= {members for members, _ in names["sure"]}
    assert (3, 7) in names["pairs"].sets()  # which no linear surrogate holds
    assert "sets stand at 10%" in capsys.readouterr().out


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


@pytest.mark.loose_promotion
def test_training_points():
    names = run("data_value", POINTS=10, BUDGET=1024)
    assert names["e"].method == "exact" and names["e"].n == 10
    assert "<img" in Path("points.html").read_text(encoding="utf-8")


def test_a_scikit_learn_model():
    pytest.importorskip("sklearn")
    names = run("values.tabular(model")
    is_exact(names, 10)
    e, data = names["e"], names["data"]
    assert float(e.full) == pytest.approx(names["model"].predict(data.data[:1])[0], rel=1e-5)
    assert e.features == tuple(data.feature_names)


def test_rows_of_a_table(capsys):
    pytest.importorskip("sklearn")
    names = run("tabular_rows")
    many, fs = names["many"], names["fs"]
    assert many[0].features == ("age", "sex", "bmi", "bp", "serum")
    for e, f in zip(many, fs, strict=True):
        ends = f(np.array([[True] * 5, [False] * 5]))
        np.testing.assert_allclose([e.full, e.empty], ends)
    assert "3 explanations by exact, 96 calls" in capsys.readouterr().out


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
        names = run("max_calls=3000", URL=server.url)
        found = is_exact(names, 4)
    assert found[(3,)] == pytest.approx(-WEIGHTS["w3"] / 2, abs=1e-4)
    assert "16 calls" in capsys.readouterr().out and Path("calls.sqlite").is_file()


def test_an_answer_of_several_tokens(tmp_path):
    pytest.importorskip("openai")
    shutil.copytree(ROOT / "models" / "mini" / "two_hop", tmp_path / "FOLDER_OR_ID")
    names = run("ServedLogprob", endpoint=Endpoint("http://127.0.0.1:9", "m"), api_value=api_value)
    assert names["f"].n == 4


@pytest.mark.loose_promotion
def test_steps_of_a_thought():
    names = {"language_value": language_value, "model": load_language_model(None)}
    question = "Where does the town where the violinist lives lie?"
    names = run('template="reasoning"', question=question, **names)
    assert names["f"].n == 3


def test_paying_once():
    names = run("my model v1")
    found = {k: v for k, v in is_exact(names, 8).items() if abs(v) > 1e-6}
    assert found == {(): 0.75, (0,): -1.0, (1,): 0.25, (2,): 0.25, (1, 2): -0.25}


def in_a_process(words, before, *arguments):
    """Starts the block that contains ``words`` in a process of its own, after some lines."""
    (block,) = [b for b in BLOCKS if words in b]
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{before}\n{block}", *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(*processes):
    for process in processes:
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said


@pytest.mark.slow
def test_many_workers():
    pytest.importorskip("ray")  # in a process, since Ray leaves files open
    start = "import ray\nray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)"
    ended(in_a_process("ray_value", f"{start}\nWORKERS, GPUS = 2, 0"))
    with Store("calls.sqlite", read_only=True) as store:
        (function,) = store.functions()
    assert function.values == 2**6 and "embedded sentiment classifier" in function.key


def test_an_executor(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "class F:\n    n = 5\n    def __call__(self, masks):\n        return masks[:, 0] * 2.0\n"
    )
    Path("my_model.py").write_text(f"{source}make_f = F\n")
    found = run("executor_value")["e"].spectrum.to_dict()
    assert {k: v for k, v in found.items() if abs(v) > 1e-6} == {(): 1.0, (0,): -1.0}


def commands(words):
    """Runs the commands of the one block of ``sh`` that contains ``words``."""
    (block,) = [b for b in SHELL if words in b]
    lines = [line for line in block.splitlines() if line.startswith("spexjax")]
    parts = re.search(r"--array=1-(\d+)", block)
    for part in range(1, int(parts[1]) + 1) if parts else (0,):
        for line in lines:
            told = shlex.split(line.replace("$SLURM_ARRAY_TASK_ID", str(part)))
            assert main(told[1:]) == 0


def test_many_texts(capsys):
    Path("reviews.csv").write_text("review,stars\ngood film,5\nbad film,1\n")
    commands("summarize")
    assert "2 texts, 3 words" in capsys.readouterr().out and Path("summary.html").is_file()


def test_an_array_of_jobs():
    for words in ('design "Her', "spexjax work", "fit design.npz calls"):
        commands(words)
    e = Explanation.load("explanation.json")
    assert (e.method, e.features[1]) == ("exact", "acting")


def test_a_batch_service(capsys):
    commands("--prompts")
    with open("prompts.jsonl") as asked, open("answers.jsonl", "w") as answers:
        for line in map(json.loads, asked):
            body = default_reply(line["url"].removeprefix("/v1/"), line["body"])
            response = {"status_code": 200, "body": body}
            answers.write(json.dumps(line | {"response": response, "error": None}) + "\n")
    commands("answers.jsonl")
    assert "tiny in a batch" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_larger_than_one_host():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = ROOT / "models" / "mini" / "two_hop"
    before = "ADDRESS, COUNT, NUMBER, FOLDER = sys.argv[1], 2, int(sys.argv[2]), sys.argv[3]"
    ended(*(in_a_process("jax.distributed", before, address, i, folder) for i in range(2)))
    e = Explanation.load("explanation.json")
    assert [members for members, _ in e.interactions("FBII", 2).top(1)] == [(0, 2)]


def test_a_model_larger_than_one_device():
    from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
    from spexjax.models.llama.weights import save_llama

    config = LlamaConfig(vocab_size=40, dim=16, n_layers=1, n_heads=4, n_kv_heads=2, head_dim=4,
                         hidden_dim=24, max_position_embeddings=32)  # fmt: skip
    params = init_params(config, jax.random.key(1))
    save_llama("model", config, params)
    found = run("load_llama(", FOLDER="model")
    hidden, _ = Llama(config).apply({"params": params}, [[5, 6, 7]])
    want = unembed(config, params, hidden[:, -1])
    assert found["logits"].shape == (1, 40)
    np.testing.assert_allclose(found["logits"], want, atol=0.1)  # bfloat16
