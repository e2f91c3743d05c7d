"""Value functions behind an endpoint, against a server that fails on purpose."""

import asyncio
import logging
import os
import re
import signal
import sys
import threading
import time

import fake_endpoint
import numpy as np
import pytest
from fake_endpoint import FakeEndpoint, log_odds

from spexjax import values
from spexjax.explain import explain
from spexjax.models.api import client
from spexjax.models.api.value import (
    AnswerLogprob,
    ApiError,
    Endpoint,
    LogOdds,
    SampledShare,
    api_value,
)
from spexjax.store.store import Store

pytest.importorskip("openai")

WORDS = list(fake_endpoint.WEIGHTS)
TEXT = "w0 and w1 or w2 but w3 not w4 then w5 if w6 so w7 yet w8 , w9 ."
QUESTION = "Is that so? Answer True or False."
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def quick_and_keyed(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def function(server, scorer=None, extra=None, text=TEXT, **settings):
    settings = {"concurrency": 8, "timeout": 10.0, **settings}
    endpoint = Endpoint(server.url, "tiny", **settings)
    return api_value(endpoint, text, QUESTION, scorer=scorer, extra=extra)


def some_masks(f, count, seed=0):
    masks = np.random.default_rng(seed).random((4 * count, f.n)) < 0.5
    return np.unique(masks, axis=0)[:count]


def expected(f, masks):
    return np.array([log_odds(f.source.prompt(m)) for m in masks], np.float32)


def test_values_are_those_of_the_server():
    with FakeEndpoint(key=SECRET) as server:
        f = function(server)
        masks = some_masks(f, 40)
        np.testing.assert_allclose(f(masks), expected(f, masks), atol=1e-5)
        assert f.report() == "40 calls, 800 tokens, 0 retries"
        assert f.words[:3] == ("w0", "and", "w1") and f.n == 20
    route, _, body = server.requests[0]
    assert route == "chat/completions"
    assert body["logprobs"] is True and body["top_logprobs"] == 20 and body["max_tokens"] == 1
    assert QUESTION in body["messages"][0]["content"]


def test_the_prompt_under_a_mask():
    f = api_value(Endpoint("https://x", "m"), "Good film, really.", "Why?")
    mask = np.array([True, False, True, False, True])
    assert f.words == ("Good", "film", ",", "really", ".")
    assert f.source.prompt(mask) == "Good [UNK], [UNK].\n\nWhy?"
    gone = api_value(Endpoint("https://x", "m"), "Good film, really.", "", replacement="")
    assert gone.source.prompt(mask) == "Good,."
    assert gone.source.prompt(~mask) == " film really"
    whole = api_value(Endpoint("https://x", "m"), "One. Two.", "Why?", "sentences")
    assert whole.words == ("One.", "Two.")
    spans = api_value(Endpoint("https://x", "m"), "abcdef", "", [(0, 2), (4, 6)])
    assert spans.source.prompt(np.array([False, True])) == "[UNK]cdef"


def faulty(count, concurrency, share=0.2, **settings):
    """All values right, none lost, none paid for twice after success."""
    with FakeEndpoint(share=share, slow=20.0, **settings) as server:
        f = function(server, timeout=3.0, concurrency=concurrency, attempts=12)
        masks = some_masks(f, count)
        np.testing.assert_allclose(f(masks), expected(f, masks), atol=1e-5)
        assert server.most_under_way <= concurrency
    prompts = {f.source.prompt(m) for m in masks}
    assert set(server.succeeded) == prompts
    assert set(server.succeeded.values()) == {1}
    assert server.injected.total() - server.injected[None] == f.meter.retries > share * count / 2
    return f, server


def test_faults_cost_retries_and_nothing_else():
    _, server = faulty(250, 32, share=0.3)
    assert set(server.injected) == {None, *fake_endpoint.FAULTS}


def test_as_many_requests_at_once_as_asked():
    # The first mask goes alone. After it no request is answered before 32 of them have come: one
    # fewer at once would wait for ever.
    with FakeEndpoint() as server:
        f = function(server, concurrency=32, timeout=60.0)
        answer, full = server._answer, asyncio.Event()

        async def together(*request):
            if server.under_way == 32:
                full.set()
            if server.requests:
                await asyncio.wait_for(full.wait(), 30)
            return await answer(*request)

        server._answer = together
        masks = some_masks(f, 96)
        np.testing.assert_allclose(f(masks), expected(f, masks), atol=1e-5)
    assert server.most_under_way == 32


@pytest.mark.slow
def test_two_thousand_masks_at_concurrency_64():
    start = time.perf_counter()
    f, server = faulty(2000, 64)
    print(f"{time.perf_counter() - start:.1f} s", f.report(), dict(server.injected))


def test_a_rate_limit_holds_everybody_back():
    with FakeEndpoint() as server:
        f = function(server, concurrency=4)
        original, times = server._answer, []

        async def once(writer, route, headers, body):
            times.append(time.perf_counter())
            if len(times) != 2:  # with the second, three others are on their way
                return await original(writer, route, headers, body)
            return fake_endpoint.send(writer, 429, {"error": {}}, "Retry-After: 0.7")

        server._answer = once
        f(some_masks(f, 12))
    # At most the three others that were on their way; the rest waited as they were told.
    assert sum(t - times[1] < 0.6 for t in times[1:]) <= 4
    assert len(times) == 13


@pytest.mark.parametrize(
    "headers,seconds",
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert client._retry_after(headers) == seconds


def stopped(f, masks):
    with pytest.raises(values.PartialValues) as caught:
        f(masks)
    got = caught.value.values
    there = np.isfinite(got)
    np.testing.assert_allclose(got[there], expected(f, masks)[there], atol=1e-5)
    return caught.value.cause, int(there.sum())


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_ceiling_of_calls_is_never_passed(share):
    with FakeEndpoint(share=share, faults=("429", "500", "garbage", "cut")) as server:
        f = function(server, max_calls=25, attempts=20)
        masks = some_masks(f, 60)
        cause, count = stopped(f, masks)
        assert "the ceiling of 25 calls is reached" in str(cause)
        refused = server.injected["429"] + server.injected["500"]
        assert f.meter.calls == len(server.requests) - refused == 25
        assert count == server.succeeded.total() >= 25 * (1 - share) * 0.6
        assert stopped(f, masks[:1])[1] == 0


def test_the_ceiling_of_tokens_is_never_passed():
    with FakeEndpoint() as server:
        f = function(server, max_tokens=450, text="w0 w1 w2 w3 w4 w5")
        cause, count = stopped(f, some_masks(f, 40))
        assert "the ceiling of 450 tokens is reached" in str(cause)
        assert 16 <= count <= 450 // 20 and f.meter.tokens == 20 * count <= 450


def test_what_came_before_a_ceiling_is_stored(tmp_path):
    path = tmp_path / "calls.sqlite"
    text = "w0 w1 w2 w3 w4 w5"
    with FakeEndpoint() as server:
        f = function(server, max_calls=30, text=text)
        with pytest.raises(
            values.ValueFunctionError, match=r"30 values from before are in .*calls"
        ):
            explain(f, f.n, budget=64, store=path)
        again = function(server, text=text)
        e = explain(again, again.n, budget=64, store=path, features=again.words)
        assert again.meter.calls == 34 and e.calls == 64
        assert set(server.succeeded.values()) == {1} and server.succeeded.total() == 64
    # Log-odds are a sum over words, so that each has minus half its weight as a coefficient.
    found = e.spectrum.to_dict()
    for i, word in enumerate(f.words):
        assert found[(i,)] == pytest.approx(-fake_endpoint.WEIGHTS[word] / 2, abs=1e-4)


@pytest.fixture
def ctrl_c():
    """A process that a shell started in the background ignores ctrl-C, and so does its Python."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_cleanly_and_keeps_what_came(tmp_path):
    path = tmp_path / "calls.sqlite"
    with FakeEndpoint(delay=0.02) as server:
        f = function(server, concurrency=2)

        done, sent = threading.Event(), []

        def interrupt():
            while server.succeeded.total() < 20:
                if done.wait(0.001):
                    return
            sent.append(server.succeeded.total())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt, match=r"Interrupted; \d+ values .* are in .*calls"):
            explain(f, f.n, budget=500, method="linear", store=path)
        done.set()
        with Store(path) as store:
            kept = store.functions()[0].values
        got = (kept, server.succeeded.total(), f.meter.calls, len(server.requests))
        assert sent[-1] <= kept == server.succeeded.total() == f.meter.calls < sent[-1] + 10, got


def refusing(server, status, error, *headers):
    """Makes a server answer every request so."""

    async def refuse(writer, route, sent, body):
        server.requests.append(body)
        told = {**error, "message": f"not with {sent['authorization']}"}
        return fake_endpoint.send(writer, status, {"error": told}, *headers)

    server._answer = refuse


def said(caplog):
    return [m for m in caplog.messages if m.startswith("spexjax: ")]


@pytest.mark.parametrize(
    "status,error", [(401, {}), (400, {}), (404, {}), (429, {"code": "insufficient_quota"}),
                     (429, {"type": "insufficient_quota", "code": None})]
)  # fmt: skip
def test_what_retries_cannot_cure_ends_at_once(status, error):
    with FakeEndpoint() as server:
        refusing(server, status, error)
        f = function(server)
        cause, _ = stopped(f, some_masks(f, 20))
        assert isinstance(cause, ApiError) and f"the endpoint answers {status}" in str(cause)
        assert "not with Bearer ***" in str(cause)
        assert len(server.requests) == 1 and f.meter.calls == 0


def test_an_endpoint_that_never_works_is_given_up_within_seconds(monkeypatch, caplog):
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.5)  # as it is for users
    with FakeEndpoint() as server:
        refusing(server, 500, {})
        f = function(server)
        start = time.perf_counter()
        cause, _ = stopped(f, some_masks(f, 20))
        assert time.perf_counter() - start < 4
        assert "the endpoint answers 500: not with Bearer *** (3 attempts)" in str(cause)
        assert len(server.requests) == 3
    why = r"spexjax: the endpoint answers 500: not with Bearer \*\*\*; attempt 3 of 3 in \d\.\d s"
    assert [bool(re.fullmatch(why, m)) for m in said(caplog)] == [True]


def test_an_endpoint_that_is_not_there():
    with FakeEndpoint() as server:
        f = function(server)
    cause, _ = stopped(f, some_masks(f, 3))
    assert "no connection to http://127.0.0.1" in str(cause) and "(3 attempts)" in str(cause)
    assert f.meter.calls == 0


def test_an_endpoint_without_logprobs_is_given_up_soon():
    with FakeEndpoint(share=1.0, faults=("no logprobs",)) as server:
        f = function(server)
        cause, _ = stopped(f, some_masks(f, 50))
        assert "the reply has no logprobs (3 attempts)" in str(cause)
        assert len(server.requests) == 3


def test_an_endpoint_that_has_worked_is_worth_all_attempts(caplog):
    with FakeEndpoint() as server:
        f = function(server, attempts=5, concurrency=1)
        f(some_masks(f, 1))
        refusing(server, 503, {}, "Retry-After: 0.2")
        cause, _ = stopped(f, some_masks(f, 3)[1:])
        assert "the endpoint answers 503" in str(cause) and "(5 attempts)" in str(cause)
        assert len(server.requests) == 6
    # A line at the second failure, and no other within the next five seconds.
    assert said(caplog) == [
        "spexjax: the endpoint answers 503: not with Bearer ***; attempt 3 of 5 in 0.2 s"
    ]


def test_a_busy_endpoint_is_waited_for_from_the_start():
    with FakeEndpoint() as server:
        refusing(server, 429, {})
        f = function(server, attempts=5)
        cause, _ = stopped(f, some_masks(f, 3))
        assert "(5 attempts)" in str(cause) and len(server.requests) == 5


def test_a_wait_of_an_hour_is_an_error():
    with FakeEndpoint() as server:
        refusing(server, 429, {}, "Retry-After: 3600")
        f = function(server)
        cause, _ = stopped(f, some_masks(f, 3))
        assert "asks to wait for 3600 s" in str(cause)


def test_a_key_goes_to_no_other_machine_in_the_open(monkeypatch):
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "a.localhost"):
        Endpoint(f"http://{host}/v1", "m")
    for host in ("example.org", "10.0.0.7:8000", "localhost.example.org"):
        Endpoint(f"https://{host}/v1", "m")
        Endpoint(f"http://{host}/v1", "m", key_variable=None)
        with pytest.raises(ValueError, match="base_url is plain http to"):
            Endpoint(f"http://{host}/v1", "m")
    monkeypatch.delenv("OPENAI_API_KEY")
    late = Endpoint("http://example.org/v1", "m")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)  # after the endpoint was made
    with pytest.raises(ValueError, match="base_url is plain http to"):
        late.client()


@pytest.mark.parametrize("variable,sent", [(None, "none"), ("OTHER_KEY", "sk-other")])
def test_which_key_is_sent(monkeypatch, variable, sent):
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with FakeEndpoint() as server:
        f = function(server, key_variable=variable)
        f(some_masks(f, 1))
        assert server.requests[0][1]["authorization"] == f"Bearer {sent}"


def test_the_package_that_is_missing_is_named(monkeypatch):
    f = api_value(Endpoint("https://x", "m"), "a b", "q")
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ApiError, match="need the openai package: pip install openai"):
        f(np.ones((1, 2), bool))


def test_the_key_is_in_no_message_log_or_journal(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "calls.sqlite"
    with FakeEndpoint(key="another") as server:
        f = function(server, text="w0 w1 w2")
        with pytest.raises(values.ValueFunctionError) as caught:
            explain(f, 3, budget=8, store=path)
    error, seen = caught.value, []
    while error is not None:
        seen.append(f"{error!r} {error} {vars(error)}")
        error = error.__cause__ or error.__context__
    assert "401" in seen[0] and len(seen) > 1
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    text = "".join([*seen, caplog.text, repr(f), f.store_key, f.report()])
    assert SECRET not in text and SECRET.encode() not in files and "HTTP" in caplog.text


def test_answers_that_are_missing_get_the_floor_and_are_counted():
    def without(*missing):
        def reply(route, body):
            return fake_endpoint.chat(body, 1.0, missing)

        return reply

    p = 1 / (1 + np.exp(-1.0))  # half of it is True's, in two spellings of p/4; (1 − p)/2 False's
    cases = [
        (("false",), None, np.log(p / 2) - np.log(p / 4)),
        (("false",), -9.0, np.log(p / 2) + 9.0),
        (("true",), None, 0.0),
        (("true", "false"), None, 0.0),
    ]
    for missing, floor, want in cases:
        with FakeEndpoint(reply=without(*missing)) as server:
            f = function(server, LogOdds(floor=floor), text="w0 w1 w2 w3 w4 w5")
            np.testing.assert_allclose(f(some_masks(f, 8)), want, atol=1e-5)
            assert f.meter.floored == f.meter.values == 8
            assert "in 100.0% of 8 masks an answer was not among the likeliest" in f.report()


def test_the_log_probability_of_a_given_answer():
    with FakeEndpoint(share=0.2, faults=("500", "garbage", "empty", "no logprobs")) as server:
        f = function(server, AnswerLogprob(" Yes indeed"))
        masks = some_masks(f, 30)
        # The server gives the answer's two tokens odds/2 − 1 and odds/2 + 1.
        np.testing.assert_allclose(f(masks), expected(f, masks), atol=1e-5)
    assert server.requests[0][0] == "completions"


def test_a_chat_without_logprobs_is_sampled():
    replies = iter(range(10**6))

    def reply(route, body):
        assert "logprobs" not in body and body["temperature"] == 1
        out = fake_endpoint.chat(body, 0.0)
        text = ("True.", " **true**", "False", "I think it is True")[next(replies) % 4]
        out["choices"][0]["message"]["content"] = text
        return out

    with FakeEndpoint(reply=reply) as server:
        f = function(server, SampledShare("True", samples=8), concurrency=1)
        np.testing.assert_array_equal(f(some_masks(f, 5)), 0.5)
        assert f.meter.calls == 40


def test_further_fields_of_the_body():
    with FakeEndpoint() as server:
        extra = {"max_tokens": None, "max_completion_tokens": 1, "seed": 3, "top_k": 5}
        f = function(server, extra=extra)
        f(some_masks(f, 1))
        body = server.requests[0][2]
    assert "max_tokens" not in body and body["top_k"] == 5
    assert body["max_completion_tokens"] == 1 and body["seed"] == 3


def test_the_store_key_tells_functions_apart():
    there, model = Endpoint("https://a", "m"), Endpoint("https://a", "other")
    functions = [
        api_value(there, "a b", "q"), api_value(Endpoint("https://b", "m"), "a b", "q"),
        api_value(model, "a b", "q"), api_value(there, "a c", "q"), api_value(there, "a b", "r"),
        api_value(there, "a b", "q", [(0, 3)]), api_value(there, "a b", "q", scorer=LogOdds(top=5)),
        api_value(there, "a b", "q", scorer=SampledShare()),
        api_value(there, "a b", "q", replacement=""), api_value(there, "a b", "q", extra={"k": 1}),
    ]  # fmt: skip
    assert len({f.store_key for f in functions}) == len(functions)
    hurried = Endpoint("https://a", "m", concurrency=2, timeout=3, max_calls=4)
    assert api_value(hurried, "a b", "q").store_key == functions[0].store_key


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "ftp://x"}, {"base_url": "http://user:pass@x"}, {"base_url": "http://x?key=1"},
     {"base_url": "x"}, {"concurrency": 0}, {"timeout": -1}, {"max_calls": 0}],
)  # fmt: skip
def test_endpoints_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Endpoint(**{"base_url": "https://x", "model": "m"} | settings)


@pytest.mark.parametrize(
    "text,features", [("", "words"), (" ", "words"), ("a", "letters"), ("ab", [(1, 2), (0, 1)]),
                      ("ab", [(0, 2), (1, 2)]), ("ab", [(0, 3)]), ("ab", [(1, 1)])]
)  # fmt: skip
def test_features_are_checked(text, features):
    with pytest.raises(ValueError, match="features"):
        api_value(Endpoint("https://x", "m"), text, "q", features)
