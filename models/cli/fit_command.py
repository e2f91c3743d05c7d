"""``spexjax fit``: values of a design, from wherever they come, to a table and a page."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import text_arguments
from spexjax.models.cli.options import CommandError, ShowOptions

if TYPE_CHECKING:
    import numpy as np

    from spexjax.masks.design import Design
    from spexjax.models.cli.design_file import Asked


def add_parser(commands: Any) -> None:
    """Adds ``fit`` to the sub-commands."""
    parser = commands.add_parser(
        "fit",
        help="explain the values of a design",
        description="Explains a design's values: an array of NumPy, the answers of a batch "
        "service (.jsonl), or the stores that `spexjax work` wrote.",
    )
    parser.add_argument("design", metavar="DESIGN", help="from `spexjax design`")
    parser.add_argument("values", metavar="VALUES", nargs="+", help="values.npy, or all files of "
                        "answers (.jsonl), or all stores")  # fmt: skip
    parser.add_argument("--missing", metavar="F", help="write the requests that have no answer to "
                        "this file, for another batch")  # fmt: skip
    parser.add_argument("--store-key", metavar="KEY", help="which function of the stores, if there "
                        "are several")  # fmt: skip
    text_arguments.add_show_arguments(parser)


@dataclass(frozen=True)
class Fit:
    """What ``spexjax fit`` is to do; ``kind`` is how the files of values end."""

    design: str
    values: tuple[str, ...]
    kind: str
    missing: str | None
    store_key: str | None
    show: ShowOptions


def read(given: argparse.Namespace) -> Fit:
    """What is wanted, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    for path in (given.design, *given.values):
        if not Path(path).is_file():
            raise CommandError(f"there is no {path!r}")
    kinds = {Path(path).suffix for path in given.values}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    if kinds or (kind == ".npy" and len(given.values) > 1):
        raise CommandError("give one values.npy, or files of answers (.jsonl), or stores")
    if given.missing and (kind != ".jsonl" or Path(given.missing).exists()):
        raise CommandError("--missing F is a new file, for answers (.jsonl)")
    show = text_arguments.read_show(given)
    return Fit(given.design, tuple(given.values), kind, given.missing, given.store_key, show)


def run(wanted: Fit) -> None:
    """Explains, prints the table, writes the files.

    Raises:
      CommandError: if the values are not those of the design, or not all are there.
    """
    import numpy as np

    from spexjax.models.cli.design_file import load
    from spexjax.steps import fit

    design, asked = load(wanted.design)
    if wanted.kind == ".npy":
        values = np.load(wanted.values[0], allow_pickle=False)
    elif wanted.kind == ".jsonl":
        values = _answered(wanted, design, asked)
    else:
        values = _stored(wanted, design)
    e = fit(design, values, features=asked.words)
    if e.num_outputs is not None:
        raise CommandError(
            f"there are {e.num_outputs} values per mask; explain one column, or use spexjax.fit"
        )
    text_arguments.show(wanted.show, e, asked)


def _answered(wanted: Fit, design: "Design", asked: "Asked") -> "np.ndarray":
    """The values of the answers of a batch service."""
    import numpy as np

    if asked.batch is None:
        raise CommandError(f"{wanted.design!r} was made without --prompts: it has no questions")
    values, why = asked.batch.read(design, wanted.values)
    for problem, count in why.items():
        print(f"spexjax: {count} requests: {problem}", file=sys.stderr)
    lacking = ~np.isfinite(values)
    if lacking.any():
        told = f"{lacking.sum():,} of {len(design):,} masks have no value"
        if not wanted.missing:
            raise CommandError(f"{told}; --missing F writes their requests for another batch")
        count = asked.batch.write(design, wanted.missing, lacking)
        raise CommandError(f"{told}; their {count:,} requests are in {wanted.missing}")
    return values


def _stored(wanted: Fit, design: "Design") -> "np.ndarray":
    """The values of all stores together."""
    import numpy as np

    from spexjax.codes import gf2
    from spexjax.store import Store

    parts = []
    for path in wanted.values:
        with Store(path, read_only=True) as store:
            keys = [f.key for f in store.functions() if f.n == design.n and f.values]
            keys = [key for key in keys if wanted.store_key in (None, key)]
            parts += [(key, store.journal(key, design.n).everything()) for key in keys]
    keys = sorted({key for key, _ in parts})
    if len(keys) != 1:
        raise CommandError(
            f"the stores hold {len(keys)} functions of {design.n} features"
            + ("; --store-key names one" if keys else "")
        )
    masks = np.concatenate([design.packed, *(part[0] for _, part in parts)])
    values = np.concatenate([part[1] for _, part in parts])
    _, place = gf2.unique_rows(masks)
    row = np.full(place.max() + 1, -1)
    row[place[len(design) :]] = np.arange(len(values))
    found = row[place[: len(design)]]
    if (found < 0).any():
        raise CommandError(
            f"{(found < 0).sum():,} of {len(design):,} masks have no value; run the missing shards"
        )
    return values[found]
