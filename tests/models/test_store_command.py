"""``spexjax store``, the cost that is printed before a run, and the keys of texts."""

import argparse
import dataclasses
import json
import sqlite3

import numpy as np
import pytest

from spexjax import masks, preview
from spexjax.codes import gf2
from spexjax.explain import explain
from spexjax.models.checkpoints.store_key import text_store_key, weights_hash
from spexjax.models.cli import store_command
from spexjax.models.cli.announcement import announce
from spexjax.models.cli.options import MaskOptions
from spexjax.store.store import Store, StoreError


def command(*arguments):
    parser = argparse.ArgumentParser()
    store_command.add_parser(parser.add_subparsers())
    return store_command.run(parser.parse_args(["store", *map(str, arguments)]))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "calls.sqlite"
    bits = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]], bool)
    with Store(path) as store:
        store.journal("one \x1b[31mred", 3).add(gf2.pack_numpy(bits, 1), np.float32([1.5, -2, 3]))
        pairs = np.arange(6, dtype=np.float32).reshape(3, 2)
        store.journal("two", 3).add(gf2.pack_numpy(bits, 1), pairs)
        store.journal("none", 7)
    return path


def test_info_lists_functions_in_plain_characters(path, capsys):
    assert command("info", path) == 0
    out = capsys.readouterr().out
    assert "3 value functions" in out and "\x1b" not in out
    lines = out.splitlines()[1:]
    assert lines[0].split()[:6] == ["3", "values", "n", "=", "3", "scalar"]
    assert "2 outputs" in lines[1] and "0 values  n = 7     empty" in lines[2]


def test_export_writes_json_lines(path, tmp_path, capsys):
    assert command("export", path) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {"key": "one \x1b[31mred", "n": 3, "kept": [0, 2], "value": 1.5}
    assert rows[4] == {"key": "two", "n": 3, "kept": [], "value": [2.0, 3.0]}
    assert len(rows) == 6
    out = tmp_path / "out.jsonl"
    assert command("export", path, "--out", out) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    with pytest.raises(FileExistsError):
        command("export", path, "--out", out)


def test_export_saves_what_is_left_of_a_damaged_file(path, capsys):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE chunks SET answers = zeroblob(12) WHERE id = 1")
    connection.commit()
    connection.close()
    assert command("export", path) == store_command.DAMAGED
    out, error = capsys.readouterr()
    assert [json.loads(line)["key"] for line in out.splitlines()] == ["two"] * 3
    assert "chunk 1 does not have its checksum" in error


def test_merge_and_vacuum(path, tmp_path, capsys):
    other = tmp_path / "other.sqlite"
    bits = np.array([[1, 0, 1], [0, 1, 0]], bool)
    with Store(other) as store:
        journal = store.journal("two", 3)
        for row in gf2.pack_numpy(bits, 1):
            journal.add(row[None], np.float32([[7, 8]]))
    assert command("merge", path, other) == 0
    assert "1 values added" in capsys.readouterr().out
    assert command("vacuum", path) == 0
    with Store(path) as store:
        assert [f.values for f in store.functions()] == [3, 4, 0]
        np.testing.assert_array_equal(
            store.journal("two", 3).lookup(gf2.pack_numpy(bits, 1)), [[0, 1], [7, 8]]
        )
    for what in ("merge", "vacuum"):
        with pytest.raises(StoreError, match="does not exist"):
            command(what, tmp_path / "none", *([other] if what == "merge" else []))
    assert not (tmp_path / "none").exists()


def test_reading_does_not_change_the_file(path, capsys):
    before = path.read_bytes()
    command("info", path)
    command("export", path)
    assert path.read_bytes() == before


# What a run will cost


class Named:
    n, store_key = 40, "named"

    def __call__(self, bits):
        return bits.sum(axis=1)


@pytest.mark.parametrize("method", ["auto", "spex", "linear"])
def test_the_cost_is_what_the_run_then_asks_for(method):
    found = preview(40, budget=masks.plan_budget(40, 1000, 2).total, method=method, max_order=2)
    assert (found.masks, found.stored, found.calls, found.chunks) == (1000, 0, 1000, 2)
    assert found.memory > 1000 * 40
    assert str(found).startswith("1,000 model calls for 40 features, up to 512 at once; about")
    assert preview(5, budget=1000).calls == 32
    with pytest.raises(ValueError, match="budget must be at least 2\\^n"):
        preview(40, budget=100, method="exact")


def test_the_cost_knows_what_is_stored(tmp_path):
    path = tmp_path / "calls.sqlite"
    f = Named()
    assert preview(6, budget=64, store=path, f=f).stored == 0
    assert not path.exists()
    explain(f, 6, budget=64, store=path)
    found = preview(6, budget=64, store=path, f=f)
    assert (found.masks, found.stored, found.calls, found.chunks) == (64, 64, 0, 0)
    assert "64 more are in the store" in str(found)
    assert preview(6, budget=64, store=path, store_key="other").stored == 0
    with pytest.raises(StoreError, match="store_key"):
        preview(6, budget=64, store=path)


@pytest.mark.parametrize("stored", [False, True])
def test_the_cost_is_told(tmp_path, capsys, stored):
    masks = MaskOptions(budget=300, method="linear", seed=0)
    announce(Named(), masks, 100, str(tmp_path / "s") if stored else None)
    told = capsys.readouterr().err
    assert told.startswith("spexjax: 300 model calls for 40 features, up to 100")


# Keys of texts


def test_the_key_of_a_text_changes_with_the_model_and_the_parts(classifier):
    parts = {"text": "a b", "spans": ((0, 1), (2, 3)), "label": 1, "score": "logit"}
    key = text_store_key(classifier, "tiny, logit", **parts)
    assert key.startswith("tiny, logit [")
    assert key == text_store_key(classifier, "tiny, logit", **parts)
    others = [{"text": "a c"}, {"spans": ((0, 3),)}, {"label": 0}, {"score": "margin"}]
    keys = {text_store_key(classifier, "tiny, logit", **parts | other) for other in others}
    wider = dataclasses.replace(classifier.config, max_position_embeddings=95)
    params = {**classifier.params, "classifier": dict(classifier.params["classifier"])}
    params["classifier"]["bias"] = params["classifier"]["bias"] + np.float32(1e-6)
    for changed in ({"config": wider}, {"params": params}):
        model = dataclasses.replace(classifier, **changed)
        keys.add(text_store_key(model, "tiny, logit", **parts))
    assert len(keys | {key}) == 7


def test_the_hash_of_weights_depends_on_names_shapes_and_values():
    base = {"a": {"w": np.zeros(4, np.float32)}, "b": np.ones(2, np.float32)}
    same = {"b": np.ones(2, np.float32), "a": {"w": np.zeros(4, np.float32)}}
    others = [
        {"a": {"w": np.zeros((2, 2), np.float32)}, "b": base["b"]},
        {"a": {"w": np.zeros(4, np.float64)}, "b": base["b"]},
        {"a": {"v": np.zeros(4, np.float32)}, "b": base["b"]},
        {"a": {"w": np.float32([0, 0, 1, 0])}, "b": base["b"]},
    ]
    assert weights_hash(base) == weights_hash(same)
    assert len({weights_hash(p) for p in [base, *others]}) == 5
