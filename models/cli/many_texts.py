"""Many texts of a file, to one JSON line each; stopped, it goes on where it was."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, cast

from spexjax.models.bert.classifier import TextClassifier
from spexjax.models.cli.estimate import duration
from spexjax.models.cli.one_text import explain_text
from spexjax.models.cli.options import CommandError, Explain
from spexjax.models.cli.table import fields
from spexjax.models.cli.texts_file import Entry, entries
from spexjax.models.values.text import value_function

Row = tuple[Entry, dict[str, Any]]

_AT_ONCE = 2  # texts; one's fit leaves the model idle
_LINE_EVERY = 20.0  # seconds between two lines about how far it is


def explain_texts(asked: Explain, model: TextClassifier, label: int | None) -> None:
    """Explains every text of ``asked.text.content`` and appends a JSON object each to a file.

    An object holds ``line`` (from 1), ``text``, ``settings``, ``class`` if the file has one, and
    either ``error`` or ``words``, ``label`` (the class whose score is explained), ``predicted``,
    ``full``, ``empty``, ``calls``, ``method``, ``faithfulness`` and the
    :func:`~spexjax.models.cli.table.fields` of the table. Blank texts are passed over. All texts
    are masked with the same seed, so that two of equal length get the same masks, and programs are
    compiled once per bucket of lengths. Each object is on the disk before the next text begins.

    Raises:
      CommandError: if the file has objects of another run.
    """
    assert asked.many is not None and asked.show.json is not None  # checked: many need it
    settings = _settings(asked)
    texts = entries(asked.text.content, asked.many)
    out = Path(asked.show.json)
    done = _finished(out, texts, settings)
    if done:
        print(f"spexjax: {done} of {len(texts)} texts are in {out} already", file=sys.stderr)
    with out.open("a", encoding="utf-8") as file:
        rows = _rows(asked, model, label, texts[done:])
        for (number, text, kind), found in _progress(rows, done, len(texts)):
            row: dict[str, Any] = {"line": number, "text": text, "settings": settings}
            if kind is not None:
                row["class"] = kind
            row |= found
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    print(f"{len(texts)} texts in {out}")


def _rows(
    asked: Explain, model: TextClassifier, label: int | None, texts: list[Entry]
) -> Iterator[Row]:
    """Each text with what was found, in order. While one is fitted, the model works on the next."""

    def row(entry: Entry) -> dict[str, Any]:
        try:
            return _explained(asked, model, label, entry.text)
        except ValueError as error:  # a text without words should not stop the others
            return {"error": str(error)}

    waiting = iter(texts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        under_way = deque((entry, pool.submit(row, entry)) for entry in islice(waiting, _AT_ONCE))
        while under_way:
            entry, found = under_way.popleft()
            yield entry, found.result()
            under_way.extend((other, pool.submit(row, other)) for other in islice(waiting, 1))


def _settings(asked: Explain) -> dict[str, Any]:
    """All that a row's numbers depend on besides its text."""
    text, masks, show = asked.text, asked.masks, asked.show
    settings = {
        **{"model": text.model, "features": text.features, "replacement": text.replacement},
        **{"label": text.label, "score": text.score, **asdict(masks)},
        **{"index": show.index, "order": show.order, "top": show.top, "fdr": show.fdr},
    }
    return settings if text.revision is None else settings | {"revision": text.revision}


def _explained(
    asked: Explain, model: TextClassifier, label: int | None, text: str
) -> dict[str, Any]:
    show = asked.show
    f = value_function(
        model, text, asked.text.features, label, cast(Any, asked.text.score),
        asked.text.replacement,
    )  # fmt: skip
    e = explain_text(asked.text, asked.masks, f, asked.store)
    return {
        "words": list(f.words),
        "cut": len(f.source.cut),
        "label": model.label_names[f.label],
        "predicted": model.label_names[int(model.logits(text).argmax())],
        "full": float(e.full),
        "empty": float(e.empty),
        "calls": e.calls,
        "method": e.method,
        "faithfulness": float(e.faithfulness),
        **fields(e.interactions(show.index, max_order=show.order), show.top, show.fdr),
    }


def _finished(out: Path, texts: list[Entry], settings: dict[str, Any]) -> int:
    """How many texts a file holds already; a last line that was cut off is removed."""
    if not out.exists():
        return 0
    whole = 0
    count = 0
    with out.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            if count == len(texts) or not _is_row(raw, texts[count], settings):
                raise CommandError(
                    f"{str(out)!r} line {count + 1} is of other texts or settings; give another "
                    "file, or remove it"
                )
            whole += len(raw)
            count += 1
    os.truncate(out, whole)
    return count


def _is_row(raw: bytes, text: Entry, settings: dict[str, Any]) -> bool:
    try:
        row = json.loads(raw)
        found = (row["line"], row["text"], row.get("class"), row["settings"])
        return found == (*text, settings)
    except (ValueError, TypeError, KeyError):
        return False


def _progress(rows: Iterator[Row], done: int, total: int) -> Iterator[Row]:
    """The rows, with a bar, or now and then a line, that says how fast it goes and how long."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        yield from tqdm(rows, initial=done, total=total, unit="text", leave=False)
        return
    start = told = time.perf_counter()
    for i, row in enumerate(rows):
        yield row
        now, left = time.perf_counter(), total - done - i - 1
        if left and now - told > _LINE_EVERY:
            told, each = now, (now - start) / (i + 1)
            print(
                f"spexjax: {done + i + 1:,} of {total:,} texts, {each:.2f} s each, about "
                f"{duration(each * left)} to go",
                file=sys.stderr,
            )
