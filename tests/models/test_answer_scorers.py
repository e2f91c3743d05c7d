"""Log-probabilities of the answer alone: replies with the shapes of vLLM's and SGLang's."""

import base64
import io
import json
import math

import numpy as np
import pytest
from fake_endpoint import FakeEndpoint, completion, log_odds
from test_language_value import tokenizer

from spexjax.models.api import client
from spexjax.models.api.answer_scorers import ServedLogprob, SglangLogprob, VllmLogprob
from spexjax.models.api.scorers import AnswerLogprob, Unusable
from spexjax.models.api.value import ApiError, Endpoint, api_value

pytest.importorskip("openai")

TEXT, QUESTION = "Bob has a cat . Ann sees", "What does Bob have ?"
TWO = "a dog"  # tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def logprobs(ids):
    """What the served model says of each token: something of all tokens before it."""
    return [-0.1 - 0.01 * (sum(ids[:i]) % 97) for i in range(len(ids))]


def generated(ids):
    return {"request_id": "generate-tokens-8f3c", "choices": [
        {"index": 0, "logprobs": None, "finish_reason": "length", "token_ids": ids}
    ]}  # fmt: skip


def vllm(route, body):
    """Replies of ``/inference/v1/generate`` and ``/v1/completions``."""
    if route == "/inference/v1/generate":
        ids, asked = body["token_ids"], body["sampling_params"]
        start, named = asked["prompt_logprob_start"], asked["prompt_logprob_token_ids"]
        assert len(named) == len(ids) - 1 - start
        assert [row[0] for row in named] == ids[start + 1 :]
        file = io.BytesIO()
        np.save(file, np.float32(logprobs(ids)[start + 1 :])[:, None])
        scores = base64.b64encode(file.getvalue()).decode()
        return generated([7]) | {"prompt_logprobs": None, "prompt_token_id_logprobs": scores}
    if route == "completions" and "allowed_token_ids" in body:
        (token,) = body["allowed_token_ids"]
        value = logprobs([*body["prompt"], token])[-1]
        found = {"tokens": ["cat"], "token_logprobs": [value], "text_offset": [0],
                 "top_logprobs": [{"cat": value}]}  # fmt: skip
        return {"id": "cmpl-9a", "object": "text_completion", "model": body["model"],
                "choices": [{"index": 0, "text": " cat", "logprobs": found,
                             "finish_reason": "length", "stop_reason": None}],
                "usage": {"prompt_tokens": 12, "total_tokens": 13}}  # fmt: skip
    raise LookupError(route)


def sglang(route, body):
    """Replies of ``/generate``: triples of log-probability, token and text."""
    if route != "/generate":
        raise LookupError(route)
    ids, meta = body["input_ids"], {"id": "5d1e", "finish_reason": {"type": "length", "length": 1}}
    assert body["return_logprob"] is True and body["sampling_params"]["max_new_tokens"] == 1
    if "token_ids_logprob" in body:
        assert body["logprob_start_len"] == -1
        (token,) = body["token_ids_logprob"]
        meta["output_token_ids_logprobs"] = [[[logprobs([*ids, token])[-1], token, None]]]
    else:
        start = body["logprob_start_len"]
        triples = [[v, t, None] for v, t in zip(logprobs(ids), ids, strict=True)][start:]
        meta["input_token_logprobs"] = [[None, *triples[0][1:]], *triples[1:]]
    meta |= {"prompt_tokens": len(ids), "completion_tokens": 1, "cached_tokens": 0}
    return {"text": " and", "output_ids": [7], "meta_info": meta}


def served(by):
    """A server that answers 404 to routes that it does not have."""

    def reply(route, body):
        try:
            return by(route, body)
        except LookupError:
            return None

    return FakeEndpoint(reply=reply)


def function(server, scorer):
    return api_value(Endpoint(server.url, "tiny", concurrency=4), TEXT, QUESTION, scorer=scorer)


def some_masks(n, count=12):
    return np.unique(np.random.default_rng(0).random((3 * count, n)) < 0.5, axis=0)[:count]


def expected(f, masks, answer):
    words, found = tokenizer(), []
    for mask in masks:
        before = words.encode(f.source.prompt(mask)).ids
        both = words.encode(f"{f.source.prompt(mask)} {answer}").ids
        found.append(sum(logprobs(both)[len(before) :]))
    return found


@pytest.mark.parametrize("answer", [TWO, "cat"])
@pytest.mark.parametrize(("by", "made"), [(vllm, VllmLogprob), (sglang, SglangLogprob)])
def test_only_the_answer_travels(by, made, answer, folder):
    with served(by) as server:
        f = function(server, made(answer, folder))
        masks = some_masks(f.n)
        np.testing.assert_allclose(f(masks), expected(f, masks, answer), rtol=1e-6)
        g = function(server, ServedLogprob(answer, folder))
        np.testing.assert_allclose(g(masks), expected(g, masks, answer), rtol=1e-6)
        routes = {route for route, _, _ in server.requests}
    assert f.description.endswith(f"log-probability of {answer!r}")
    assert g.meter.values == len(masks)
    # One request told that a server is not vLLM, and was not paid for.
    refused = len(server.requests) - 2 * len(masks)
    assert refused == (0 if by is vllm else 1) and len(routes) == 1 + refused
    assert g.meter.calls == len(masks)


def test_other_servers_echo(folder):
    """One that knows neither way is asked for the whole prompt's log-probabilities."""

    def echo(route, body):
        if route != "completions" or not body.get("echo"):
            raise LookupError(route)
        return completion(body)

    with served(echo) as server:
        f = function(server, ServedLogprob(TWO, folder))
        masks = some_masks(f.n)
        want = function(server, AnswerLogprob(" a dog"))(masks)
        np.testing.assert_allclose(f(masks), want)
    assert f.meter.way == 2 and log_odds("") == 0


def test_nobody_answers(folder):
    def nothing(route, body):
        raise LookupError(route)

    with served(nothing) as server, pytest.raises(Exception) as caught:
        function(server, ServedLogprob(TWO, folder))(some_masks(7))
    said = str(caught.value.cause)
    assert isinstance(caught.value.cause, ApiError)
    assert all(name in said for name in ("VllmLogprob", "SglangLogprob", "AnswerLogprob", "404"))


def test_prompts_go_in_the_order_of_their_beginnings(folder):
    with served(sglang) as server:
        f = api_value(
            Endpoint(server.url, "tiny", concurrency=1), TEXT, QUESTION,
            scorer=SglangLogprob("cat", folder),
        )  # fmt: skip
        masks = some_masks(f.n, 20)
        f(masks)
    sent = [tuple(body["input_ids"]) for _, _, body in server.requests]
    words = tokenizer()
    want = [tuple(words.encode(p).ids) for p in sorted(map(f.source.prompt, masks))]
    assert sent == want


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_token_id_logprobs": None}, "no prompt_token_id_logprobs"),
        ({"prompt_token_id_logprobs": "?"}, "no .npy"),
        ({"prompt_token_id_logprobs": base64.b64encode(b"x" * 40).decode()}, "no .npy"),
    ],
)
def test_replies_of_vllm_that_cannot_be_used(change, message, folder):
    scorer = VllmLogprob(TWO, folder)
    (request,) = scorer.requests("tiny", TEXT)
    good = vllm(request.route, request.body)
    assert math.isfinite(scorer.value(TEXT, [good]).value)
    with pytest.raises(Unusable, match=message):
        scorer.check(TEXT, good | change)
    (one,) = VllmLogprob("cat", folder).requests("tiny", TEXT)
    reply = vllm(one.route, one.body)
    reply["choices"][0]["logprobs"]["token_logprobs"] = [0.0]
    with pytest.raises(Unusable, match="raw_logprobs"):
        VllmLogprob("cat", folder).check(TEXT, reply)


def test_replies_of_sglang_that_cannot_be_used(folder):
    scorer = SglangLogprob(TWO, folder)
    (request,) = scorer.requests("tiny", TEXT)
    good = sglang(request.route, request.body)
    for change, message in (
        ({}, "no input_token_logprobs"),
        ({"input_token_logprobs": [[-1.0, 3, None], [-1.0, 4, None]]}, "not of the answer"),
        ({"input_token_logprobs": [3, 4]}, "no triples"),
        ({"input_token_logprobs": [[None, t, None] for t in request.body["input_ids"]]}, "None"),
    ):
        with pytest.raises(Unusable, match=message):
            scorer.check(TEXT, json.loads(json.dumps(good)) | {"meta_info": change})
