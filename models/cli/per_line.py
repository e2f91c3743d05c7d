"""Many texts, one per line of a file, to one JSON line each; stopped, it goes on where it was."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from spexjax.models.bert.classifier import TextClassifier
from spexjax.models.cli.one_text import explain_text
from spexjax.models.cli.options import CommandError, Explain
from spexjax.models.cli.table import fields
from spexjax.models.values.text import value_function


def explain_lines(asked: Explain, model: TextClassifier, label: int | None) -> None:
    """Explains every line of ``asked.text.content`` and appends a JSON object per line to a file.

    An object holds ``line`` (from 1), ``text``, ``settings``, and either ``error`` or ``words``,
    ``full``, ``empty``, ``calls``, ``method``, ``faithfulness`` and the
    :func:`~spexjax.models.cli.table.fields` of the table. Blank lines are passed over. All texts
    are masked with the same seed, so that two of equal length get the same masks, and programs are
    compiled once per bucket of lengths. Each object is on the disk before the next text begins.

    Raises:
      CommandError: if the file has objects of another run.
    """
    settings = _settings(asked)
    texts = [
        (number, line.strip())
        for number, line in enumerate(asked.text.content.splitlines(), 1)
        if line.strip()
    ]
    assert asked.show.json is not None  # checked: --per-line needs it
    out = Path(asked.show.json)
    done = _finished(out, texts, settings)
    if done:
        print(f"spexjax: {done} of {len(texts)} texts are in {out} already", file=sys.stderr)
    with out.open("a", encoding="utf-8") as file:
        for number, text in _progress(texts[done:], done, len(texts)):
            row = {"line": number, "text": text, "settings": settings}
            try:
                row |= _explained(asked, model, label, text)
            except ValueError as error:  # a text without words should not stop the others
                row["error"] = str(error)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    print(f"{len(texts)} texts in {out}")


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
        "full": float(e.full),
        "empty": float(e.empty),
        "calls": e.calls,
        "method": e.method,
        "faithfulness": float(e.faithfulness),
        **fields(e.interactions(show.index, max_order=show.order), show.top, show.fdr),
    }


def _finished(out: Path, texts: list[tuple[int, str]], settings: dict[str, Any]) -> int:
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


def _is_row(raw: bytes, text: tuple[int, str], settings: dict[str, Any]) -> bool:
    try:
        row = json.loads(raw)
        return (row["line"], row["text"], row["settings"]) == (*text, settings)
    except (ValueError, TypeError, KeyError):
        return False


def _progress(texts: list[tuple[int, str]], done: int, total: int) -> Iterator[tuple[int, str]]:
    from tqdm import tqdm

    yield from tqdm(texts, initial=done, total=total, unit="text", disable=None, leave=False)
