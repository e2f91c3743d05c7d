"""Files of many texts: a line each, a column of a table, a field of JSON lines."""

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

from spexjax.models.cli.options import CommandError, TextsOptions

_LARGEST_FIELD = 1 << 27
_TABLES = {".csv": ",", ".tsv": "\t"}


class Entry(NamedTuple):
    """A text of a file.

    Attributes:
      number: of its line or record, from 1; that of a table's head is not counted.
      text: without blanks around it, not empty.
      kind: its class, if the file says so.
    """

    number: int
    text: str
    kind: str | None


def options_of(
    file: str | None, per_line: bool, column: str | None, class_column: str | None
) -> TextsOptions | None:
    """How a file of many texts is to be read; None if it is one text.

    Raises:
      CommandError: if the options do not fit the file.
    """
    if column is None and class_column is None and not per_line:
        return None
    if file is None:
        raise CommandError("--per-line and --column need --file F")
    suffix = Path(file).suffix.lower()
    if per_line:
        if column is not None or class_column is not None:
            raise CommandError("give either --per-line or --column NAME")
        return TextsOptions("lines", None, None)
    if suffix not in (*_TABLES, ".jsonl"):
        raise CommandError(f"--column needs a file that ends in .csv, .tsv or .jsonl, got {file!r}")
    if column is None:
        raise CommandError("--class-column needs --column NAME")
    return TextsOptions(suffix[1:], column, class_column)  # type: ignore[arg-type]


def entries(content: str, options: TextsOptions) -> list[Entry]:
    """The texts of a file's content, blank ones left out.

    Raises:
      CommandError: if there are none, a column is missing, or a record cannot be read.
    """
    if options.kind == "lines":
        found = [Entry(i, line, None) for i, line in enumerate(content.splitlines(), 1)]
    elif options.kind == "jsonl":
        found = _of_json(content, options)
    else:
        found = _of_table(content, options)
    found = [entry._replace(text=entry.text.strip()) for entry in found if entry.text.strip()]
    if not found:
        raise CommandError("the file has no text")
    return found


def _of_table(content: str, options: TextsOptions) -> list[Entry]:
    csv.field_size_limit(_LARGEST_FIELD)
    comma = _TABLES[f".{options.kind}"]
    records = csv.DictReader(io.StringIO(content, newline=""), delimiter=comma)
    for name in (options.column, options.class_column):
        if name is not None and name not in (records.fieldnames or ()):
            there = ", ".join(map(str, records.fieldnames or ()))
            raise CommandError(f"the table has no column {name!r}; it has {there[:200]}")
    try:
        return [
            Entry(i, record[str(options.column)] or "", _class(record, options))
            for i, record in enumerate(records, 1)
        ]
    except csv.Error as error:
        raise CommandError(f"the table cannot be read: line {records.line_num}: {error}") from error


def _of_json(content: str, options: TextsOptions) -> list[Entry]:
    found = []
    for i, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            text = record[options.column]
            kind = _class(record, options)
        except (ValueError, RecursionError) as error:
            raise CommandError(f"line {i} is not JSON: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise CommandError(f"line {i} has no field {error}") from error
        if not isinstance(text, str):
            raise CommandError(f"line {i}: {options.column} is not a text")
        found.append(Entry(i, text, kind))
    return found


def _class(record: dict, options: TextsOptions) -> str | None:
    return None if options.class_column is None else str(record[options.class_column])
