"""``spexjax work``: the values of a part of a design, kept in a store; for arrays of jobs."""

import argparse
import importlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spexjax.models.cli import text_arguments
from spexjax.models.cli.one_text import chunk_size, value_of
from spexjax.models.cli.options import CommandError, TextOptions


def add_parser(commands: Any) -> None:
    """Adds ``work`` to the sub-commands."""
    parser = commands.add_parser(
        "work",
        help="evaluate a part of a design's masks",
        description="Evaluates every K-th mask of a design and keeps the values in a store, each "
        "before the next is asked for; goes on after a stop. `spexjax fit` takes all stores.",
    )
    parser.add_argument("design", metavar="DESIGN", help="from `spexjax design`")
    parser.add_argument("--shard", metavar="I/K", default="1/1",
                        help="the I-th of K parts, from 1 (default: 1/1, all)")  # fmt: skip
    parser.add_argument("--store", metavar="FILE", required=True, help="keeps the values")
    parser.add_argument("--function", metavar="MODULE:NAME", help="a function of your own without "
                        "arguments that makes the value function, instead of a text")  # fmt: skip
    parser.add_argument("--store-key", metavar="KEY", help="names the value function, if it does "
                        "not do so itself")  # fmt: skip
    text_arguments.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


@dataclass(frozen=True)
class Work:
    """What ``spexjax work`` is to do: a part of a design, by a function or for a text."""

    design: str
    part: int
    parts: int
    store: str
    store_key: str | None
    function: str | None
    text: TextOptions | None


def read(given: argparse.Namespace) -> Work:
    """What is wanted, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", given.shard)
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= part <= parts:
        raise CommandError(f"--shard must be I/K with I from 1 to K, got {given.shard!r}")
    if not Path(given.design).is_file():
        raise CommandError(f"there is no {given.design!r}")
    text = None
    if given.function is None:
        text = text_arguments.read(given)
    elif not re.fullmatch(r"[\w.]+:\w+", given.function):
        raise CommandError(f"--function must be MODULE:NAME, got {given.function!r}")
    return Work(given.design, part, parts, given.store, given.store_key, given.function, text)


def run(wanted: Work) -> None:
    """Evaluates the part.

    Raises:
      CommandError: if the function has another number of features than the design.
      StoreError: if the store cannot be used, or the function has no name.
    """
    from spexjax import values
    from spexjax.models.cli.design_file import load
    from spexjax.store import opened

    design, _ = load(wanted.design)
    f = _function(wanted)
    if getattr(f, "n", design.n) != design.n:
        raise CommandError(f"the function has {f.n} features, the design {design.n}")
    rows = design.packed[wanted.part - 1 :: wanted.parts]
    with opened(wanted.store, f, design.n, wanted.store_key) as journal:
        if len(rows):
            chunk = None if wanted.text is None else chunk_size(wanted.text)
            values.evaluate(f, rows, design.n, chunk, sys.stderr.isatty(), journal)
    print(f"{len(rows):,} of {len(design):,} masks in {wanted.store}")


def _function(wanted: Work) -> Any:
    if wanted.function is not None:
        return _made(wanted.function)
    assert wanted.text is not None
    return value_of(wanted.text, *text_arguments.classifier(wanted.text), wanted.text.content)


def _made(name: str) -> Any:
    module, function = name.split(":")
    sys.path.insert(0, os.getcwd())  # as for python -m
    try:
        return getattr(importlib.import_module(module), function)()
    except (ModuleNotFoundError, AttributeError) as error:
        raise CommandError(f"--function {name}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
