"""Many texts: one JSON object each, and none explained twice."""

import json

import pytest

from spexjax.models.cli import many_texts
from spexjax.models.cli.main import main

TEXTS = "good film\n\nit was bad, bad\n\u200b\nHer acting never fails"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text(TEXTS, encoding="utf-8")


def run(*more):
    arguments = ["--file", "texts.txt", "--per-line", "--json", "out.jsonl", "--top", "3"]
    return main(["explain", *arguments, *more])


def rows(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_every_line(tmp_path, capsys):
    assert run() == 0
    found = rows(tmp_path)
    assert [row["line"] for row in found] == [1, 3, 4, 5]
    assert found[0]["words"] == ["good", "film"]
    assert found[1]["words"] == ["it", "was", "bad", ",", "bad"]
    assert "nothing to explain" in found[2]["error"]
    for row in (found[0], found[1], found[3]):
        values = [abs(value) for _, value in row["interactions"]]
        assert len(values) <= 3
        assert values == sorted(values, reverse=True)
        assert row["method"] == "exact"
        assert row["standard_error"] == [0.0] * len(values) and row["stands"] == [True] * len(
            values
        )
        assert row["low"] == row["high"] == [value for _, value in row["interactions"]]
        assert row["calls"] == 2 ** len(row["words"])
    assert "4 texts in out.jsonl" in capsys.readouterr().out


def test_stopped_and_started_again(tmp_path, monkeypatch, capsys):
    assert run() == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    asked = []
    real = many_texts.value_function

    def counted(model, text, *options):
        asked.append(text)
        return real(model, text, *options)

    monkeypatch.setattr(many_texts, "value_function", counted)
    (tmp_path / "out.jsonl").write_bytes(lines[0] + lines[1] + lines[2][:20])
    assert run() == 0
    assert sorted(asked) == ["Her acting never fails", "\u200b"]
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert "2 of 4 texts" in capsys.readouterr().err
    assert run() == 0
    assert len(asked) == 2


@pytest.mark.parametrize("change", [("--seed", "5"), ("--index", "SV"), ("--fdr", "0.05")])
def test_a_file_of_another_run_is_kept(tmp_path, capsys, change):
    assert run() == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    assert run(*change) == 2
    assert "other texts or settings" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_a_file_that_is_something_else_is_kept(tmp_path, capsys):
    (tmp_path / "out.jsonl").write_text("notes of mine\n")
    assert run() == 2
    assert (tmp_path / "out.jsonl").read_text() == "notes of mine\n"
