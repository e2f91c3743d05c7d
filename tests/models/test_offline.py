"""Design here, values there, fit here: arrays, stores of shards, and answers of a batch service."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from fake_endpoint import WEIGHTS, default_reply, log_odds

from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.masks.design import Design
from spexjax.models.cli.main import main

TEXT = "Her acting never fails to impress"
QUESTION = "Is that so? Answer True or False."


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def run(capsys, *arguments):
    code = main(list(map(str, arguments)))
    return code, *capsys.readouterr()


def done(capsys, *arguments):
    code, printed, errors = run(capsys, *arguments)
    assert code == 0, errors
    return printed


def planted(masks):
    return 2.0 * masks[:, 3] - masks[:, 4] * masks[:, 5] + 0.25 * masks[:, 0]


def test_an_array_of_values(capsys, tmp_path):
    assert "64 masks of 6 features" in done(
        capsys, "design", "--n", 6, "--budget", 70, "--method", "spex", "--seed", 3
    )
    design = Design.load("design.npz")
    assert (design.n, design.seed, len(design)) == (6, 3, 64)
    np.save("values.npy", planted(design.masks()))
    printed = done(capsys, "fit", "design.npz", "values.npy", "--json", "e.json")
    assert "x3" in printed and "values from elsewhere" in printed
    found = Explanation.load("e.json").spectrum.to_dict()
    assert found == explain(planted, 6, budget=70, method="spex", seed=3).spectrum.to_dict()
    assert (tmp_path / "explanation.html").is_file()


def test_shards_of_a_text_make_what_explain_makes(capsys):
    done(capsys, "design", TEXT, "--out", "d.npz")
    for part in (1, 2, 3):
        said = done(capsys, "work", "d.npz", TEXT, "--shard", f"{part}/3", "--store", f"{part}.db")
        assert f"{(22, 21, 21)[part - 1]} of 64 masks in {part}.db" in said
    code, _, errors = run(capsys, "fit", "d.npz", "1.db", "3.db")
    assert code == 2 and "21 of 64 masks have no value; run the missing shards" in errors
    table = done(capsys, "fit", "d.npz", "1.db", "2.db", "3.db", "--json", "fit.json", "--top", 9)
    Path("explanation.html").unlink()
    want = done(capsys, "explain", TEXT, "--json", "e.json", "--top", 9)
    assert table == want
    assert Explanation.load("fit.json").spectrum.to_dict() == pytest.approx(
        Explanation.load("e.json").spectrum.to_dict(), abs=1e-6
    )


def test_a_function_of_ones_own_and_a_second_run(capsys, tmp_path):
    source = "import numpy as np\ndef make():\n    return f\ndef f(masks):\n"
    source += "    with open('calls', 'a') as log:\n        log.write('.' * len(masks))\n"
    source += "    return masks.sum(axis=1) * 1.0\n"
    (tmp_path / "my_offline_model.py").write_text(source)
    done(capsys, "design", "--n", 5, "--budget", 32)
    work = ("work", "design.npz", "--function", "my_offline_model:make", "--store", "c.db")
    code, _, errors = run(capsys, *work)
    assert code == 1 and "store_key" in errors
    for key in "mine", "mine", "other":
        done(capsys, *work, "--store-key", key, "--shard", "1/1")
    assert len((tmp_path / "calls").read_text()) == 64  # twice, not thrice
    code, _, errors = run(capsys, "fit", "design.npz", "c.db")
    assert code == 2 and "hold 2 functions of 5 features; --store-key names one" in errors
    assert "R² = 1" in done(capsys, "fit", "design.npz", "c.db", "--store-key", "mine")


def requests(path="prompts.jsonl"):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def answer(line, status=200):
    """As batch services have it."""
    body = default_reply(line["url"].removeprefix("/v1/"), line["body"])
    response = {"status_code": status, "request_id": "r", "body": body}
    return {"id": "a", "custom_id": line["custom_id"], "response": response, "error": None}


def write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def designed(capsys, *more):
    return done(
        capsys, "design", "w0 w1 w2 w3", "--question", QUESTION, "--api-model", "tiny",
        "--prompts", "prompts.jsonl", *more,
    )  # fmt: skip


def test_a_batch_service(capsys):
    assert "16 requests in prompts.jsonl" in designed(capsys, "--api-extra", '{"seed": 7}')
    lines = requests()
    assert len({line["custom_id"] for line in lines}) == 16
    masks = Design.load("design.npz").masks()
    for line, mask in zip(lines, masks, strict=True):
        assert set(line) == {"custom_id", "method", "url", "body"}
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        body = line["body"]
        assert (body["model"], body["logprobs"], body["seed"]) == ("tiny", True, 7)
        words = body["messages"][0]["content"].split("\n\n")[0].split()
        assert words == [f"w{i}" if kept else "[UNK]" for i, kept in enumerate(mask)]
    write("answers.jsonl", [answer(line) for line in lines[::-1]])
    printed = done(capsys, "fit", "design.npz", "answers.jsonl", "--json", "e.json")
    assert "tiny in a batch, log-odds of 'True' over 'False'" in printed
    e = Explanation.load("e.json")
    assert e.features == ("w0", "w1", "w2", "w3")
    for i in range(4):
        assert e.spectrum.to_dict()[(i,)] == pytest.approx(-WEIGHTS[f"w{i}"] / 2, abs=1e-4)
    assert float(e.full) == pytest.approx(log_odds("w0 w1 w2 w3"), abs=1e-4)


def test_what_has_no_answer_is_asked_again(capsys):
    designed(capsys)
    lines = requests()
    expired = {"custom_id": lines[9]["custom_id"], "response": None, "error": {"code": "expired"}}
    first = [answer(line) for line in lines[:8]] + [answer(lines[8], 429), expired]
    write("a.jsonl", first)
    code, _, errors = run(capsys, "fit", "design.npz", "a.jsonl")
    assert code == 2 and "8 of 16 masks have no value; --missing F" in errors
    assert "1 requests: status 429" in errors and "expired" in errors
    code, _, errors = run(capsys, "fit", "design.npz", "a.jsonl", "--missing", "rest.jsonl")
    assert code == 2 and "their 8 requests are in rest.jsonl" in errors
    assert requests("rest.jsonl") == lines[8:]
    write("b.jsonl", map(answer, requests("rest.jsonl")))
    assert "exact, 16 calls" in done(capsys, "fit", "design.npz", "a.jsonl", "b.jsonl")


@pytest.mark.parametrize(
    ("more", "url", "each"),
    [
        (("--samples", 3), "/v1/chat/completions", 3),
        (("--continuation", " yes"), "/v1/completions", 1),
    ],
)
def test_other_scorers(capsys, more, url, each):
    designed(capsys, *more)
    lines = requests()
    assert len(lines) == 16 * each and {line["url"] for line in lines} == {url}
    write("a.jsonl", map(answer, lines))
    assert "R² = 1" in done(capsys, "fit", "design.npz", "a.jsonl")


def test_answers_to_another_question_are_refused(capsys):
    designed(capsys)
    write("a.jsonl", map(answer, requests()))
    designed(capsys, "--out", "other.npz", "--answers", "yes,no", "--prompts", "other.jsonl")
    code, _, errors = run(capsys, "fit", "other.npz", "a.jsonl")
    assert code == 1 and "a.jsonl line 1 answers another design or question" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["design", "--n", 5, "--prompts", "p"], "--n is for features that are not of a text"),
        (["design", "a text", "--prompts", "p"], "--prompts needs --api-model NAME and --question"),
        (["design", "a text", "--out", "no/d.npz"], "no folder to write --out"),
        (["design", "a text", "--out", "here.npy"], "is there already"),
        (["design"], "give either a text or --file F"),
        (["work", "here.npy", "--shard", "0/3", "--store", "c"], "--shard must be I/K"),
        (["work", "here.npy", "--shard", "4/3", "--store", "c"], "--shard must be I/K"),
        (["work", "no.npz", "a text", "--store", "c"], "there is no 'no.npz'"),
        (["work", "here.npy", "--store", "c", "--function", "f"], "--function must be MODULE:NAME"),
        (["fit", "no.npz", "here.npy"], "there is no 'no.npz'"),
        (["fit", "here.npy", "here.npy", "here.jsonl"], "give one values.npy"),
        (["fit", "here.npy", "here.npy", "--missing", "m"], "--missing F is a new file"),
        (["fit", "here.npy", "here.npy"], "is not a design"),
    ],
)
def test_one_line_for_every_mistake(capsys, arguments, message, tmp_path):
    np.save("here.npy", np.zeros(3))
    (tmp_path / "here.jsonl").touch()
    code, printed, errors = run(capsys, *arguments)
    assert code in (1, 2) and printed == ""
    assert errors.startswith("spexjax: error: ") and errors.count("\n") == 1
    assert message in errors


def test_functions_and_designs_that_do_not_fit(capsys):
    done(capsys, "design", "--n", 3, "--budget", 8)
    code, _, errors = run(capsys, "work", "design.npz", TEXT, "--store", "c.db")
    assert code == 2 and "the function has 6 features, the design 3" in errors
    code, _, errors = run(
        capsys, "work", "design.npz", "--store", "c.db", "--function", "no_such:f"
    )
    assert code == 2 and "No module named 'no_such'" in errors
    write("a.jsonl", [])
    code, _, errors = run(capsys, "fit", "design.npz", "a.jsonl")
    assert code == 2 and "was made without --prompts" in errors
