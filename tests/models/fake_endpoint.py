"""An HTTP server on loopback that answers as OpenAI's API and vLLM do, and fails on purpose.

The value of a prompt is known: with words w0 … w9 present, the log-odds of True over False are
Σ WEIGHTS of the words that occur. Replies have the shape of the documentation's examples.
"""

import asyncio
import json
import math
import random
import re
import threading
from collections import Counter

WEIGHTS = {
    f"w{i}": w for i, w in enumerate([1.5, -2.0, 0.25, 3.0, -0.5, 0.75, 1.0, -1.25, 2.0, 0.1])
}
FAULTS = ("429", "500", "html", "drop", "cut", "slow", "garbage", "no logprobs", "NaN", "empty")


def log_odds(prompt):
    return sum(w for word, w in WEIGHTS.items() if re.search(rf"\b{word}\b", prompt))


class FakeEndpoint:
    """A context manager; ``url`` is the base URL.

    Args:
      share: of requests that fail in one of ``faults``, chosen by a seeded generator.
      faults: names of FAULTS.
      slow: seconds that a slow answer takes.
      reply: (route, body) to a JSON object, instead of the default; None is "not found".
      key: required as a bearer token, if given.
    """

    def __init__(self, share=0.0, faults=FAULTS, slow=30.0, reply=None, key=None, delay=0.0):
        self.share, self.faults, self.slow, self.key = share, faults, slow, key
        self.reply, self.delay = reply or default_reply, delay
        self.chance = random.Random(5)
        self.succeeded, self.injected = Counter(), Counter()
        self.requests, self.under_way, self.most_under_way = [], 0, 0

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join()

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve(ready))
        self.loop.close()

    async def _serve(self, ready):
        self.stop = asyncio.Event()
        self.tasks = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await self.stop.wait()
        server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _connection(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _request(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        route = head[0].split()[1].removeprefix("/v1/")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay)
            return await self._answer(writer, route, headers, body)
        finally:
            self.under_way -= 1

    async def _answer(self, writer, route, headers, body):
        self.requests.append((route, headers, body))
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            text = f"Incorrect API key provided: {headers.get('authorization')}"
            return send(writer, 401, {"error": {"message": text, "code": "invalid_api_key"}})
        fault = self.chance.choice(self.faults) if self.chance.random() < self.share else None
        self.injected[fault] += 1
        if fault == "429":
            error = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}
            return send(writer, 429, {"error": error}, "Retry-After: 0.02")
        if fault == "500":
            return send(writer, 500, {"error": {"message": "The server had an error"}})
        if fault == "html":
            return send(writer, 502, "<html><h1>Bad Gateway</h1></html>")
        if fault == "drop":
            return False
        if fault == "slow":
            await asyncio.sleep(self.slow)
            return False
        if fault == "garbage":
            return send(writer, 200, '{"choices": [{"index": 0, "lo')
        reply = self.reply(route, body)
        if reply is None:
            return send(writer, 404, {"detail": "Not Found"})
        if fault == "cut":
            return send(writer, 200, json.dumps(reply)[:40], length=5000)
        if fault == "no logprobs":
            reply["choices"][0]["logprobs"] = None
        elif fault == "NaN":
            reply = json.loads(re.sub(r'("logprob": )[-.\de]+', r"\1NaN", json.dumps(reply)))
        elif fault == "empty":
            reply["choices"] = []
        else:
            self.succeeded[text_of(body)] += 1
        return send(writer, 200, reply)


def send(writer, status, body, *headers, length=None):
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [
        f"HTTP/1.1 {status} Status",
        "Content-Type: application/json",
        f"Content-Length: {length or len(content)}",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
    return length is None


def text_of(body):
    if "messages" in body:
        return body["messages"][0]["content"]
    return str(body.get("prompt") or body.get("token_ids") or body.get("input_ids"))


def default_reply(route, body):
    if route == "completions":
        return completion(body)
    return chat(body, log_odds(text_of(body)))


def chat(body, odds, missing=()):
    """A reply of POST /v1/chat/completions, as in OpenAI's reference; vLLM's is the same."""
    true, false = -math.log1p(math.exp(-odds)), -math.log1p(math.exp(odds))
    # Two spellings of True share its probability; other tokens take half of everything.
    tokens = {"True": true - math.log(2), " true": true - math.log(2), "False": false, "The": 0.0}
    tokens = {t: p - math.log(2) for t, p in tokens.items() if t.strip().lower() not in missing}
    listed = sorted(tokens.items(), key=lambda item: -item[1])[: body.get("top_logprobs", 0)]
    entries = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in listed]
    content = [{**(entries or [{}])[0], "top_logprobs": entries}]
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1741570283,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "True", "refusal": None},
                "logprobs": {"content": content, "refusal": None} if body.get("logprobs") else None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 19, "completion_tokens": 1, "total_tokens": 20},
    }


def completion(body):
    """A reply of POST /v1/completions with echo, as in vLLM's: the answer's tokens score odds."""
    assert body["echo"] and body["logprobs"] == 1
    pieces = re.findall(r"\s*\S+|\s+$", body["prompt"])
    odds = log_odds(body["prompt"])
    tokens = ["<s>", *pieces, " and"]
    answer = [odds / 2 - 1.0, odds / 2 + 1.0]
    values = [None, *[-0.5] * (len(pieces) - 2), *answer, -7.0]
    starts = [0]
    for token in tokens[:-1]:
        starts.append(starts[-1] + len(token))
    logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": starts}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": body["model"],
        "choices": [
            {"index": 0, "text": body["prompt"] + " and", "logprobs": logprobs,
             "finish_reason": "length"}
        ],
        "usage": {"prompt_tokens": len(pieces), "total_tokens": len(pieces) + 1},
    }  # fmt: skip
