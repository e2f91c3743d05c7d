"""``spexjax store``: what a journal of model calls holds, out of it, together, and compact.

Also what ``spexjax explain`` needs of it: ``--store`` and ``--dry-run``.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.store.store import FunctionInfo, Store

DAMAGED = 1


def add_parser(commands: Any) -> None:
    """Adds ``store`` to the sub-commands."""
    parser = commands.add_parser(
        "store",
        help="look into a journal of model calls, export, merge or compact it",
        description="A journal (explain --store FILE) keeps every value that a model returned.",
    )
    what = parser.add_subparsers(dest="what", required=True)
    info = what.add_parser("info", help="list the value functions and how many values each has")
    export = what.add_parser("export", help="write all values as JSON lines")
    merge = what.add_parser("merge", help="add the values of other journals to the first")
    vacuum = what.add_parser("vacuum", help="drop repeated masks and free the space")
    for command in (info, export, merge, vacuum):
        command.add_argument("file", metavar="FILE")
        command.add_argument("--debug", action="store_true", help="show tracebacks")
    export.add_argument("--out", metavar="OUT", help="write here instead of to the terminal")
    merge.add_argument("others", metavar="OTHER", nargs="+", help="journals to read")


def run(given: argparse.Namespace) -> int:
    """Does what ``add_parser``'s arguments say; returns the exit code.

    Raises:
      StoreError: if a file cannot be opened, read or written.
    """
    from spexjax.store.store import Store, StoreError

    if given.what in ("merge", "vacuum") and not Path(given.file).exists():
        raise StoreError(f"{given.file} does not exist.")
    with Store(given.file, read_only=given.what in ("info", "export")) as store:
        if given.what == "info":
            print(_info(store))
        elif given.what == "export":
            return _export(store, given.out)
        elif given.what == "merge":
            for other in given.others:
                with Store(other, read_only=True) as source:
                    print(f"{store.merge(source):,} values added from {other}")
        else:
            before = _size(store.path)
            store.vacuum()
            print(f"{before:,} bytes before, {_size(store.path):,} now")
    return 0


def add_arguments(parser: Any) -> None:
    """Adds ``--store`` and ``--dry-run`` to the arguments of ``spexjax explain``."""
    parser.add_argument("--store", metavar="FILE", help="journal of model calls: asked before the "
                        "model is, and keeps every value that it returns")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say how many calls, how long, and "
                        "of an endpoint how many tokens it would take, and stop")  # fmt: skip


def _info(store: "Store") -> str:
    functions = store.functions()
    lines = [f"{store.path}: {len(functions)} value functions, {_size(store.path):,} bytes"]
    lines += [f"{f.values:>9,} values  n = {f.n:<5} {_kind(f):<12} {printable(f.key)}"
              for f in functions]  # fmt: skip
    return "\n".join(lines)


def _kind(f: "FunctionInfo") -> str:
    return "empty" if f.outputs is None else f"{f.outputs} outputs" if f.outputs else "scalar"


def _export(store: "Store", out: str | None) -> int:
    damaged = 0
    with _writer(out) as file:
        for row in rows(store):
            if "error" in row:
                damaged += 1
                print(f"spexjax: {row['error']}", file=sys.stderr)
            else:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return DAMAGED if damaged else 0


def rows(store: "Store") -> Iterator[dict[str, Any]]:
    """One mapping per stored value: ``key``, ``n``, ``kept`` (features) and ``value``.

    A damaged chunk gives a mapping with ``error`` instead, and the chunks after it still come.
    """
    import numpy as np

    from spexjax.codes import gf2
    from spexjax.store.journal import Journal

    for function in store.functions():
        journal = Journal(store.database, store.locks, function, read=False)
        for _, found in journal.read_chunks():
            if isinstance(found, Exception):
                yield {"error": str(found)}
                continue
            bits = gf2.unpack_numpy(found[0], function.n)
            for mask, value in zip(bits, found[1].tolist(), strict=True):
                kept = np.flatnonzero(mask).tolist()
                yield {"key": function.key, "n": function.n, "kept": kept, "value": value}


def _writer(out: str | None) -> Any:
    from contextlib import nullcontext

    return nullcontext(sys.stdout) if out is None else Path(out).open("x", encoding="utf-8")


def _size(path: Path) -> int:
    return sum(
        part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file()
    )


def printable(text: str, limit: int = 100) -> str:
    """A text that cannot steer the terminal, cut to ``limit`` characters."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
