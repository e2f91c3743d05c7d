"""Many texts: one JSON object each, and none explained twice; and their summary."""

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


CSV = 'id,review,stars\n1,"good film, bad plot",4\n2,bad film,1\n3,,2\n4,"good\n plot",5\n'
JSONL = '{"review": "good film", "stars": 4}\n\n{"review": "bad film", "stars": 1}\n'


@pytest.mark.parametrize(("name", "content"), [("r.csv", CSV), ("r.jsonl", JSONL)])
def test_a_column_of_a_file_and_its_summary(tmp_path, capsys, name, content):
    (tmp_path / name).write_text(content)
    arguments = ["--file", name, "--column", "review", "--class-column", "stars", "--json", "out"]
    assert main(["explain", *arguments]) == 0
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    if name == "r.csv":
        assert [row["line"] for row in found] == [1, 2, 4]
        assert [row["class"] for row in found] == ["4", "1", "5"]
        assert found[2]["words"] == ["good", "plot"]
    else:
        assert [(row["line"], row["class"]) for row in found] == [(1, "4"), (3, "1")]
    assert {row["predicted"] for row in found} <= {"NEGATIVE", "POSITIVE"}
    capsys.readouterr()
    assert main(["summarize", "out"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{len(found)} texts, ") and "page  summary.html" in printed
    assert (tmp_path / "summary.html").read_text().count("</section>") > 3
    assert main(["summarize", "out", "--least", "1", "--no-html"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "texts.txt", "--column", "x"], "ends in .csv, .tsv or .jsonl"),
        (["a text", "--column", "x"], "--column need --file"),
        (["--file", "t.csv", "--column", "x"], "no column 'x'; it has a, b"),
        (["--file", "t.csv", "--column", "a", "--class-column", "c"], "no column 'c'"),
        (["--file", "t.csv", "--class-column", "b"], "--class-column needs --column"),
        (["--file", "t.csv", "--column", "a", "--per-line"], "either --per-line or --column"),
        (["--file", "t.jsonl", "--column", "x"], "line 1 has no field 'x'"),
        (["--file", "empty.csv", "--column", "a"], "the file has no text"),
    ],
)
def test_files_that_do_not_fit(tmp_path, capsys, arguments, message):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("a,b\n,2\n")
    (tmp_path / "t.jsonl").write_text('{"y": 1}\n')
    assert main(["explain", *arguments, "--json", "out.jsonl"]) == 2
    assert message in capsys.readouterr().err
