"""The options of the command for models behind an API."""

import argparse
import sys

import numpy as np
import pytest
from fake_endpoint import FakeEndpoint

from spexjax.models.api.value import AnswerLogprob, LogOdds, SampledShare
from spexjax.models.cli import api_arguments


def read(*options, features="words", replacement="unk"):
    parser = argparse.ArgumentParser()
    api_arguments.add_arguments(parser)
    given = parser.parse_args(options)
    given.replacement = replacement
    return api_arguments.read(given, features)


NEEDED = ("--api-base", "http://x/v1", "--api-model", "m", "--question", "Why?")


def test_without_an_endpoint_nothing_changes():
    assert read() is None and read(*NEEDED).base == "http://x/v1"


@pytest.mark.parametrize(
    "options,scorer",
    [
        ((), LogOdds("True", "False")),
        (("--answers", "yes, no"), LogOdds("yes", "no")),
        (("--continuation", " Yes"), AnswerLogprob(" Yes")),
        (("--samples", "5", "--answers", "A,B"), SampledShare("A", 5)),
    ],
)
def test_the_options_make_a_value_function(options, scorer):
    given = read(*NEEDED, "--concurrency", "3", "--timeout", "7", "--max-calls", "9",
                  "--max-tokens", "11", "--api-extra", '{"seed": 0}', "--key-variable", "",
                  *options, replacement="mask")  # fmt: skip
    f = api_arguments.value_of(given, "One two.")
    assert f.scorer == scorer and f.extra == {"seed": 0}
    e = f.endpoint
    assert (e.base_url, e.model, e.concurrency, e.timeout) == ("http://x/v1", "m", 3, 7)
    assert (e.max_calls, e.max_tokens, e.key_variable) == (9, 11, None)
    assert f.source.prompt(np.array([True, False, True])) == "One [MASK].\n\nWhy?"


@pytest.mark.parametrize(
    "options,other,message",
    [
        (("--question", "Q"), {}, "--question needs --api-base URL"),
        (("--api-extra", "{}"), {}, "--api-extra needs --api-base URL"),
        (("--api-base", "http://x"), {}, "needs --api-model NAME and --question Q"),
        ((*NEEDED, "--continuation", "a", "--samples", "3"), {}, "either --continuation or"),
        ((*NEEDED, "--answers", "yes"), {}, "--answers must be two words"),
        ((*NEEDED, "--answers", "yes,"), {}, "--answers must be two words"),
        ((*NEEDED, "--samples", "0"), {}, "--samples must be above 0"),
        ((*NEEDED, "--max-calls", "-1"), {}, "--max-calls must be above 0"),
        ((*NEEDED, "--timeout", "nan"), {}, "--timeout must be above 0"),
        ((*NEEDED, "--api-extra", "{"), {}, "--api-extra is not JSON"),
        ((*NEEDED, "--api-extra", "[1]"), {}, "must be a JSON object"),
        (NEEDED, {"features": "tokens"}, "--features tokens needs the model's tokenizer"),
        (NEEDED, {"replacement": "pad"}, "--replacement pad needs a local model"),
    ],
)
def test_what_is_wrong_is_named(options, other, message):
    with pytest.raises(ValueError, match=message):
        read(*options, **other)


def test_the_options_reach_the_endpoint():
    pytest.importorskip("openai")
    with FakeEndpoint() as server:
        given = read("--api-base", server.url, "--api-model", "m", "--question", "Really?")
        f = api_arguments.value_of(given, "w0 w1 w2")
        assert f(np.array([[True, True, False]]))[0] == pytest.approx(-0.5, abs=1e-5)


def test_what_can_be_mended_comes_first(tmp_path, monkeypatch, capsys):
    pytest.importorskip("openai")
    from spexjax.models.cli.main import main

    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)
    monkeypatch.setattr("spexjax.models.api.client._FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
    monkeypatch.chdir(tmp_path)
    with FakeEndpoint() as server:
        gone = server.url
    texts = ("explain", "w0 and w1 or w2", "--api-model", "tiny", "--question", "So?")
    options = [*texts, "--store", "calls.sqlite", "--api-base"]
    assert main([*options, gone]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"spexjax: error: no connection to {gone}: ") and "values" not in error
    with FakeEndpoint() as server:
        assert main([*options, server.url, "--max-calls", "7"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    want = "the ceiling of 7 calls is reached; 7 values from before are in calls.sqlite"
    assert error == f"spexjax: error: {want}"
    assert main([*options, "http://example.org/v1"]) == 1
    assert "error: base_url is plain http to example.org" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "openai", None)
    assert main([*options, gone]) == 1
    assert "error: endpoints need the openai package: pip" in capsys.readouterr().err


def test_the_command_with_an_endpoint(tmp_path, monkeypatch, capsys):
    from spexjax.models.cli.main import main

    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
    monkeypatch.chdir(tmp_path)
    with FakeEndpoint(key="sk-very-secret-0123456789") as server:
        code = main([
            "explain", "w0 and w1 or w2", "--api-base", server.url, "--api-model", "tiny",
            "--question", "Is that so? Answer True or False.", "--store", "calls.sqlite",
        ])  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "32 calls for 5 words" in out
    page = (tmp_path / "explanation.html").read_text()
    assert "w0" in page and "tiny" in page
    assert "very-secret" not in out + err + page
