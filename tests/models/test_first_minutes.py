"""What the command says to somebody who has not read the manual."""

import re

import numpy as np
import pytest

from spexjax.models.cli import estimate, question_arguments
from spexjax.models.cli.announcement import announce
from spexjax.models.cli.main import build_parser, main
from spexjax.models.cli.options import MaskOptions
from spexjax.models.cli.text_arguments import read_show
from spexjax.models.text.spans import sentences, words
from spexjax.models.values import language

TEXT = "Her acting never fails to impress"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)


def run(capsys, *arguments):
    code = main(["explain", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_second_page_does_not_replace_the_first(capsys, tmp_path):
    def shown(*more):
        return read_show(build_parser().parse_args(["explain", "x", *more])).html

    assert shown() == "explanation.html"
    (tmp_path / "explanation.html").write_text("the first")
    assert shown() == "explanation-2.html"
    (tmp_path / "explanation-2.html").write_text("the second")
    assert shown() == "explanation-3.html"
    assert shown("--html", "explanation.html") == "explanation.html"  # named, it is meant
    assert shown("--no-html") is None


def test_what_not_to_believe_is_the_last_line(capsys):
    code, printed, _ = run(capsys, TEXT, "--budget", 5, "--method", "linear")
    assert code == 0 and "nan" not in printed
    assert printed.splitlines()[-1].startswith("caution       believe none of this: ")


def test_a_dry_run_says_how_long_it_takes(capsys, tmp_path):
    code, printed, told = run(capsys, TEXT, "--dry-run")
    assert (code, printed) == (0, "")
    assert re.search(r"about [\d.]+ (s|min) at [\d.]+ ms a call", told)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_an_endpoint_counts_tokens_and_asks_nobody(capsys):
    asked = ("--api-base", "http://localhost:9", "--api-model", "m", "--question", "Praise?")
    told = run(capsys, TEXT, *asked, "--dry-run", "--samples", 3, "--price", "1000,2000")[2]
    sent, received, price = re.search(
        r"about ([\d,]+) tokens sent and up to ([\d,]+) received.*about \$([\d.]+)", told
    ).groups()
    sent, received = (int(number.replace(",", "")) for number in (sent, received))
    assert received == 64 * 3 * 8
    letters = len(TEXT) + len("\n\nPraise?")
    assert sent == pytest.approx(64 * 3 * letters / 4, rel=0.2)
    assert float(price) == pytest.approx(sent * 1e-3 + received * 2e-3, abs=0.01)
    assert "--price IN,OUT" in run(capsys, TEXT, *asked, "--dry-run")[2]
    code, _, told = run(capsys, TEXT, *asked, "--price", "one")
    assert code == 2 and "--price must be two numbers" in told
    code, _, told = run(capsys, TEXT, "--price", "1,2")
    assert code == 2 and "--price needs --api-base" in told


def test_a_long_text_is_timed_and_sentences_are_offered(capsys):
    class Slow:
        n, source, asked = 400, type("S", (), {"text": "A film of note. " * 100}), 0

        def __call__(self, masks):
            self.asked += len(masks)
            return np.zeros(len(masks))

    f = Slow()
    announce(f, MaskOptions(2000, "linear", 0), None, None)
    told = capsys.readouterr().err
    assert "ms a call" in told and "--features sentences has 100 instead of 400" in told
    assert f.asked == 2 * estimate.TRIED


def test_a_context_that_is_too_long_is_cut_when_asked(capsys, tmp_path, monkeypatch):
    (tmp_path / "facts.txt").write_text("The violinist lives in Brno. " * 400)
    asked = ("--task", "qa", "--context", "facts.txt", "--question", "Where does it lie?")
    code, _, told = run(capsys, *asked)
    assert code == 2 and "give --truncate" in told and "truncate=True" not in told
    given = build_parser().parse_args(["explain", *asked, "--truncate"])
    options = question_arguments.read(given, "sentences", "log-probability")
    seen = []
    monkeypatch.setattr(language, "language_value", lambda *_, **more: seen.append(more))
    question_arguments.value_of(options, "A context.")
    assert seen[0]["truncate"] is True
    code, _, told = run(capsys, TEXT, "--truncate")
    assert code == 2 and "--truncate needs --task qa" in told


def test_words_that_a_model_does_not_know_are_named(capsys, caplog):
    run(capsys, "\u0f40 \u0f41 good", "--dry-run")
    assert "does not know 2 of the text's 3 features ('\u0f40', '\u0f41')" in caplog.text
    caplog.clear()
    run(capsys, TEXT, "--dry-run")
    assert not caplog.text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("这部电影很好看。", list("这部电影很好看。")),
        ("この映画はスリルがある", ["こ", "の", "映", "画", "は", "スリル", "が", "あ", "る"]),
        ("A film, 很好! Don't.", ["A", "film", ",", "很", "好", "!", "Do", "n't", "."]),
        ("naïve café", ["naïve", "café"]),
    ],
)
def test_scripts_without_spaces(text, found):
    assert [text[a:b] for a, b in words(text)] == found


def test_ideographic_full_stops_end_sentences():
    text = "「很好。」他说。真的吗？！是的。 Yes. No."
    assert [text[a:b] for a, b in sentences(text)] == [
        "「很好。」", "他说。", "真的吗？！", "是的。", "Yes.", "No.",
    ]  # fmt: skip
