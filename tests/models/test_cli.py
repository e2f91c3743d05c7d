"""The command: its table, its files, and one line for every mistake."""

import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import spexjax as sx
from spexjax.models.bert import weights
from spexjax.models.cli.main import main
from spexjax.models.cli.table import feature_labels

TEXT = "Her acting never fails to impress"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test writes into the user's cache or folder, or leaves the setting behind."""
    monkeypatch.chdir(tmp_path)
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def folder(classifier, tmp_path):
    out = tmp_path / "tiny"
    weights.save(out, classifier.config, classifier.params)
    classifier.tokenizer.save(str(out / "tokenizer.json"))
    return out


def run(capsys, *arguments):
    code = main(["explain", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_the_first_line_of_the_manual(capsys, tmp_path):
    out = tmp_path / "e.json"
    code, printed, errors = run(capsys, TEXT, "--json", out)
    assert code == 0
    assert errors.count("\n") == 1 and "64 model calls" in errors  # what it will cost
    head, *rows = printed.split("\n\n")[0].splitlines()
    assert head.split() == ["FBII", "order", "set"]
    assert 1 <= len(rows) <= 15
    values = [float(row.split()[0]) for row in rows]
    assert np.all(np.diff(np.abs(values)) <= 1e-6)
    assert {row.index(row.split()[2]) for row in rows} == {head.index("set")}
    assert any(" + " in row for row in rows)
    assert "exact, 64 calls for 6 words" in printed
    assert "logit of POSITIVE" in printed
    assert "R² = 1" in printed
    saved = json.loads(out.read_text())
    assert saved["features"] == TEXT.split()
    page = (tmp_path / "explanation.html").read_text()
    assert "page          explanation.html" in printed
    assert "impress" in page and "embedded sentiment classifier" in page


def test_values_are_those_of_the_definition(capsys, folder):
    from spexjax.models.bert.classifier import load_classifier
    from spexjax.models.values.text import value_function

    code, printed, _ = run(capsys, "bad acting, bad", "--model", folder, "--index", "BV",
                           "--order", 1, "--score", "margin", "--label", "negative")  # fmt: skip
    assert code == 0
    f = value_function(load_classifier(folder), "bad acting, bad", label=0, score="margin")
    masks = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)
    values = f(masks)
    want = [values[masks[:, i]].mean() - values[~masks[:, i]].mean() for i in range(4)]
    rows = re.findall(r"^\s*([-+]\d\.\d{3})\s+1\s+(\S+)$", printed, re.M)
    found = {name: float(value) for value, name in rows}
    labels = ["bad@0", "acting", ",", "bad@3"]
    assert found.keys() == set(labels)
    np.testing.assert_allclose([found[name] for name in labels], want, atol=6e-4)


def test_a_sampled_explanation_of_a_file(capsys, folder, tmp_path):
    path = tmp_path / "review.txt"
    path.write_text(
        "Her acting never fails to impress, and it's a film I don't want to forget. \n"
        "The plot isn't good; the ending was bad!", encoding="utf-8")  # fmt: skip
    arguments = ("--file", path, "--model", folder, "--budget", 300, "--seed", 3, "--top", 4,
                 "--method", "linear")  # fmt: skip
    code, printed, _ = run(capsys, *arguments)
    assert code == 0
    assert "linear, 300 calls" in printed and "seed 3" in printed
    assert "forget" in (tmp_path / "explanation.html").read_text()
    assert "masks unseen by its fit" in printed
    head, *rows = printed.split("\n\n")[0].splitlines()
    assert len(rows) == 4 and head.split() == ["FBII", "±", "order", "set"]
    found = re.search(r"errors .*; (\d+) of (\d+) sets? stands? \(\*\) at a false", printed)
    assert 0 < int(found[1]) <= int(found[2])
    assert "(surrogate " in printed
    (tmp_path / "explanation.html").unlink()
    assert "page" not in run(capsys, *arguments, "--no-html")[1]
    assert not (tmp_path / "explanation.html").exists()
    assert run(capsys, *arguments)[1] == printed
    code, printed, _ = run(capsys, "--file", path, "--model", folder, "--features", "sentences")
    assert code == 0
    assert "4 calls for 2 pieces of text" in printed


def test_a_text_that_is_too_long_is_reported(capsys, folder):
    code, printed, _ = run(capsys, "bad " * 120, "--model", folder, "--budget", 200, "--method",
                           "linear")  # fmt: skip
    assert code == 0
    assert "26 more lie beyond the model's 96 positions" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a text or --file"),
        (["x", "--file", "y"], 2, "give either a text or --file"),
        ([" \n"], 2, "the text is empty"),
        (["--file", "absent.txt"], 2, "cannot read 'absent.txt'"),
        (["x", "--model", "./absent"], 1, "No model folder './absent'"),
        (["x", "--html", "absent/e.html"], 2, "no folder to write"),
        (["x", "--per-line"], 2, "--per-line and --column need --file"),
        (["x", "--json", "absent/e.json"], 2, "no folder to write"),
        (["\u200b"], 1, "nothing to explain"),
        (["x", "--label", "angry"], 2, "--label must be one of NEGATIVE, POSITIVE"),
        (["x y", "--method", "magic"], 1, "magic"),
        (["x y", "--index", "magic"], 1, "magic"),
    ],
)
def test_one_line_per_mistake(capsys, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, printed, errors = run(capsys, *arguments)
    assert found == code
    assert printed == ""
    assert errors.startswith("spexjax: error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "explanation.html").exists()


def test_errors_are_those_of_the_explanation(capsys, folder, tmp_path):
    out, text = tmp_path / "e.json", "Her acting never fails to impress and isn't a film to forget"
    code, printed, _ = run(capsys, text, "--model", folder, "--budget", 200, "--method", "linear",
                           "--fdr", "0.2", "--json", out)  # fmt: skip
    assert code == 0
    saved, e = json.loads(out.read_text()), sx.Explanation.load(out)
    ix = e.interactions().top(15)
    low, high = ix.interval()
    assert saved["interactions"] == [[list(s), v] for s, v in ix]
    for name, expected in (("standard_error", ix.standard_error), ("low", low), ("high", high),
                           ("p_value", ix.p_value)):  # fmt: skip
        np.testing.assert_allclose(saved[name], expected, rtol=1e-4)
    assert saved["stands"] == ix.stands(0.2).tolist() and saved["fdr"] == 0.2
    head, *rows = printed.split("\n\n")[0].splitlines()
    assert [row[head.index("±") + 1 : head.index("order")].strip() == "*" for row in rows] == saved[
        "stands"
    ]
    far = np.maximum(np.abs(high - ix.values), np.abs(ix.values - low))
    np.testing.assert_allclose([float(row.split()[1]) for row in rows], far, atol=6e-4)
    assert "false discovery rate of 20 %" in printed
    for flag in e.flags():
        assert f"note          {flag.text}" in printed


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "ten", "nan"])
def test_rates(capsys, rate):
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "x", f"--fdr={rate}"])
    assert stopped.value.code == 2
    assert "between 0 and 1" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["0", "-3", "many", "1.5"])
def test_budgets(capsys, budget):
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "x", "--budget", budget])
    assert stopped.value.code == 2
    assert "whole number" in capsys.readouterr().err


def test_folders_that_lack_something(capsys, folder):
    (folder / "tokenizer.json").unlink()
    assert run(capsys, "x", "--model", folder)[0::2] == (
        1, f"spexjax: error: No tokenizer.json in '{folder}'.\n"
    )  # fmt: skip
    (folder / "model.safetensors").unlink()
    code, _, errors = run(capsys, "x", "--model", folder)
    assert code == 1
    assert "No model.safetensors" in errors
    assert errors.count("\n") == 1
    with pytest.raises(FileNotFoundError, match="safetensors"):
        main(["explain", "x", "--model", str(folder), "--debug"])


def test_a_file_that_is_no_text(capsys, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    code, _, errors = run(capsys, "--file", tmp_path / "a.bin")
    assert code == 2
    assert "not UTF-8" in errors


def test_feature_labels():
    words = ["a", "b", "a", "\x1b[31mred", "two\nlines", "x" * 50]
    labels = feature_labels(words)
    assert labels == ["a@0", "b", "a@2", "\ufffd[31mred", "two lines", "x" * 39 + "…"]


def test_the_process(tmp_path):
    """As a user starts it: exit code, output, and compiled programs kept for the next time."""
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-m", "spexjax.models.cli", "explain", "good film"],
        env=env, capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    assert "4 calls for 2 words" in done.stdout
    assert "Traceback" not in done.stderr
    assert any((tmp_path / "spexjax" / "xla").iterdir())


def test_nothing_is_paid_twice(capsys, folder, tmp_path):
    arguments = ("Her acting isn't bad", "--model", folder, "--store", tmp_path / "calls.sqlite",
                 "--no-html")  # fmt: skip
    code, printed, errors = run(capsys, *arguments, "--dry-run")
    assert (code, printed) == (0, "")
    assert "16 model calls" in errors
    code, first, _ = run(capsys, *arguments)
    assert code == 0
    code, again, errors = run(capsys, *arguments)
    assert (code, again) == (0, first)
    assert "0 model calls for 4 features" in errors and "16 more are in the store" in errors
    assert main(["store", "info", str(tmp_path / "calls.sqlite")]) == 0
    info = capsys.readouterr().out
    assert "16 values" in info and "Her acting isn't bad" in info
    code, other, errors = run(capsys, *arguments, "--label", "negative")
    assert code == 0 and other != first
    assert main(["store", "info", str(tmp_path / "calls.sqlite")]) == 0
    assert "2 value functions" in capsys.readouterr().out


def test_a_model_behind_an_api_needs_a_question(capsys):
    code, _, errors = run(capsys, "x", "--api-base", "http://localhost:1/v1")
    assert code == 2
    assert "--api-model NAME and --question" in errors


def test_an_index_of_shapley_values_is_the_target(capsys, folder):
    text = "one two three four five six seven eight nine"
    options = ("--model", folder, "--no-html", "--budget", 120)
    _, printed, _ = run(capsys, text, *options, "--index", "SV")
    assert "targeted, 120 calls" in printed
    _, printed, _ = run(capsys, text, *options, "--index", "k-SII", "--order", 2)
    assert "targeted, 120 calls" in printed
    _, printed, _ = run(capsys, text, *options, "--index", "SV", "--target", "none")
    assert "targeted" not in printed
