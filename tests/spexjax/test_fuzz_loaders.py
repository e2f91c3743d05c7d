"""Files from strangers: a ValueError with a message, or right values; never a crash or a hang."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spexjax import Explanation
from spexjax.codes import gf2
from spexjax.models.cli import store_command
from spexjax.spectra.spectrum import Spectrum
from spexjax.store.store import Store

quickly = settings(
    max_examples=120, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
N = 20


@pytest.fixture(scope="module")
def explanation():
    spectrum = Spectrum.from_dict({(): 0.5, (0,): 1.0, (1, 3): -2.0}, 5)
    nothing = np.float32(0)
    return Explanation(
        spectrum, 5, "spex", 9, nothing, nothing, nothing, (nothing, nothing),
        features=tuple("abcde"), budget=10, seed=3, max_order=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(explanation, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "e.json"
    explanation.save(path)
    return path.read_bytes()


def load(path, content):
    """Loads a file that may be anything; what loads can be used."""
    path.write_bytes(content)
    try:
        e = Explanation.load(path)
    except ValueError as error:
        assert len(str(error)) > 10
        return None
    assert np.isfinite(np.asarray(e.predict(np.ones((1, e.n), bool)))).all()
    assert len(e.features) == e.n and all(isinstance(label, str) for label in e.features)
    e.save(path)
    return e


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@quickly
@given(content=st.binary(max_size=200))
@example(content=b"[" * 100_000)
@example(content=b"9" * 10_000)
@example(content=b'{"format": "spexjax.explanation"}')
def test_bytes_as_an_explanation(tmp_path, content):
    assert load(tmp_path / "e.json", content) is None


@quickly
@given(data=st.data())
def test_an_explanation_with_a_part_replaced(tmp_path, saved, data):
    raw = json.loads(saved)
    node, path = raw, []
    while True:
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(list(keys)))
        path.append(key)
        child = node[key]
        if not (isinstance(child, dict | list) and child) or data.draw(st.booleans()):
            break
        node = child
    if data.draw(st.booleans()):
        node[key] = data.draw(json_values)
    else:
        del node[key]
    load(tmp_path / "e.json", json.dumps(raw).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 10**7, "features": ["x"] * 5},
        {"n": True, "features": ["x"]},
        {"calls": 1e400},
        {"calls": float("nan")},
        {"budget": "10" * 5000},
        {"seed": {"a": 1}},
        {"seed": [[1]]},
        {"max_order": None},
        {"max_order": -1},
        {"full": "abc"},
        {"full": [[0.0]]},
        {"full": [0.0] * 3},
        {"faithfulness": {}},
        {"faithfulness_interval": [0.0]},
        {"faithfulness_interval": "ab"},
        {"features": "abcde"},
        {"features": {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}},
        {"terms": {}},
        {"terms": [{"supports": [[0], [0]], "coefficients": [1.0, 2.0]}]},
        {"terms": [{"supports": [[0, 0]], "coefficients": [1.0]}]},
        {"terms": [{"supports": [["0"]], "coefficients": [1.0]}]},
        {"terms": [{"supports": [[0.5]], "coefficients": [1.0]}]},
        {"terms": [{"supports": [[10**30]], "coefficients": [1.0]}]},
        {"terms": [{"supports": [[True]], "coefficients": [1.0]}]},
        {"terms": [{"supports": "a", "coefficients": [1.0]}]},
        {"terms": [{"supports": [[0]], "coefficients": ["1.0"]}]},
        {"terms": [{"supports": [[0]], "coefficients": [1e39]}]},
        {"terms": [{"supports": [[]], "coefficients": [1e309]}]},
        {"terms": [{"supports": [[]], "coefficients": [10**400]}]},
        {"full": 10**400},
        {"faithfulness": 1e39},
        {"terms": [{"supports": [[0]], "coefficients": [None]}]},
        {"outputs": "own", "terms": []},
        {"outputs": ["one"]},
        {"method": ["spex"]},
    ],
)
def test_explanations_that_make_no_sense_are_refused(tmp_path, saved, changes):
    assert load(tmp_path / "e.json", json.dumps(json.loads(saved) | changes).encode()) is None


@quickly
@given(data=st.data())
def test_an_explanation_with_bytes_changed(tmp_path, saved, data):
    content = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    load(tmp_path / "e.json", bytes(content[: data.draw(st.integers(0, len(content)))]))


# The store


@pytest.fixture(scope="module")
def store_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "calls.sqlite"
    with Store(path) as store:
        for seed in range(3):
            store.journal(f"function {seed}", N).add(*stored(seed))
    return path.read_bytes()


def stored(seed):
    rng = np.random.default_rng(seed)
    masks = gf2.pack_numpy(np.unique(rng.random((300, N)) < 0.5, axis=0), 1)
    return masks, rng.standard_normal((len(masks), *([2] * (seed == 2)))).astype(np.float32)


def believed(path):
    """Whatever a store still says must be true."""
    try:
        with Store(path) as store:
            listed = store.functions()
            for function in listed:
                journal = store.journal(function.key, function.n)
                masks, values = journal.everything()
                if not len(masks):
                    continue
                assert function.key in {"function 0", "function 1", "function 2"}
                truth = stored(int(function.key[-1]))
                known = {mask.tobytes(): value for mask, value in zip(*truth, strict=True)}
                for mask, value in zip(masks, values, strict=True):
                    np.testing.assert_array_equal(known[mask.tobytes()], value)
    except ValueError as error:
        assert len(str(error)) > 10
    try:
        with Store(path, read_only=True) as store:
            list(store_command.rows(store))
    except ValueError as error:
        assert len(str(error)) > 10


@quickly
@given(content=st.binary(max_size=300))
@example(content=b"SQLite format 3\x00" + bytes(100))
@example(content=b"SQLite format 3\x00" + bytes(5000))
def test_bytes_as_a_store(tmp_path, content):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(content)
    believed(path)
    if content:
        assert path.read_bytes()[: len(content)] == content
    path.unlink()


@settings(quickly, max_examples=250)
@given(data=st.data())
def test_a_store_with_bytes_changed(tmp_path, store_file, data):
    content = bytearray(store_file)
    # Half of the changes hit the header and the tables, half anything.
    for _ in range(data.draw(st.integers(1, 4))):
        end = data.draw(st.sampled_from([100, 4096, len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "calls.sqlite").write_bytes(bytes(content))
    believed(folder / "calls.sqlite")
    shutil.rmtree(folder)
