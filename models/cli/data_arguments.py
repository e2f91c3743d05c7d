"""``spexjax explain --task data``: which training digits made a small model read a digit so."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import text_arguments
from spexjax.models.cli.announcement import announce
from spexjax.models.cli.options import CommandError, ExplainData

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.explanation import Explanation
    from spexjax.models.training.value import DataValue

_OTHERS = (
    "text", "file", "model", "revision", "features", "label", "score", "context", "question",
    "answer", "api_base",
)  # fmt: skip
_POINTS, _TESTS = 100, 300


def add_arguments(parser: Any) -> None:
    """Adds the options to a parser or a group of one; ``--task`` is there already."""
    add = parser.add_argument
    add("--test", type=int, metavar="I", help="which test digit to explain, from 0 (default: 0)")
    add("--points", type=text_arguments.positive, metavar="N",
        help=f"training digits, equally many of each (default: {_POINTS})")  # fmt: skip


def read(given: argparse.Namespace) -> ExplainData | None:
    """What is wanted, if training data are to be explained.

    Raises:
      CommandError: naming what the user can put right.
    """
    if given.task != "data":
        for option in ("test", "points"):
            if getattr(given, option) is not None:
                raise CommandError(f"--{option} needs --task data")
        return None
    for option in _OTHERS:
        if getattr(given, option) is not None:
            name = "a text" if option == "text" else f"--{option.replace('_', '-')}"
            raise CommandError(f"--task data does not take {name}")
    if given.per_line or given.column or given.class_column:
        raise CommandError("--task data does not take a file of many texts")
    test, points = given.test or 0, given.points or _POINTS
    if not 0 <= test < _TESTS:
        raise CommandError(f"--test must be from 0 to {_TESTS - 1}, got {test}")
    if points % 10 or not 10 <= points <= 1000:
        raise CommandError(f"--points must be a multiple of 10 from 10 to 1000, got {points}")
    masks, show = text_arguments.read_masks(given), text_arguments.read_show(given)
    if masks.budget < min(2 * points, 2**points):
        raise CommandError(
            f"--budget {masks.budget} cannot see {points} points: give {2 * points}, or fewer "
            "--points"
        )
    return ExplainData(test, points, masks, show, given.store, given.dry_run)


def run(asked: ExplainData) -> None:
    """Trains models on parts of the digits, prints the table, writes the files."""
    from pathlib import Path

    import numpy as np

    from spexjax.explain import explain
    from spexjax.models.training import data_value, mlp
    from spexjax.models.training.digits import split
    from spexjax.models.training.page import Pictures, render

    train, tests = split(asked.points, _TESTS)
    image, label = tests[0][asked.test], int(tests[1][asked.test])
    f = data_value(
        *mlp((8, 8), 10, (32,)), train=train, test=(image[None], np.array([label])), steps=100,
        batch=min(25, asked.points), decay=1e-3,
        name=f"MLP 64-32-10 on digits, test digit {asked.test}",
    )  # fmt: skip
    announce(f, asked.masks, None, asked.store, asked.dry_run)
    if asked.dry_run:
        return
    words = [f"a {c} (no. {i})" for i, c in enumerate(train[1])]
    e = explain(
        f, budget=asked.masks.budget, method=asked.masks.method, seed=asked.masks.seed,
        features=words, store=asked.store, progress=sys.stderr.isatty(),
    )[0]  # fmt: skip
    print(_table(e, f, asked, label))
    if asked.show.json:
        e.save(asked.show.json)
    if asked.show.html:
        pictures = Pictures(*train, np.arange(len(train[1])), image, label)
        page = render(
            e, pictures, f.name, index=asked.show.index, order=asked.show.order
        )  # fmt: skip
        Path(asked.show.html).write_text(page, encoding="utf-8")
        print(f"page          {asked.show.html}")
    text_arguments.doubt(e)


def _table(e: "Explanation", f: "DataValue", asked: ExplainData, label: int) -> str:
    """The strongest sets of training digits and what was done to find them."""
    from spexjax.models.cli.table import faithfulness, feature_labels, rows
    from spexjax.report import facts

    show = asked.show
    values = e.interactions(show.index, max_order=show.order)
    lines = [
        f"model         {f.name}, margin of {label}",
        f"value         {float(e.full):+.3f} with all points, {float(e.empty):+.3f} with none",
        f"method        {e.method}, {e.calls} trainings for {f.n} points (budget {e.budget}, seed "
        f"{e.seed})",
        f"faithfulness  {faithfulness(e)}",
    ]
    if standing := facts.standing(e, values, show.fdr, " (*)"):
        lines.append(f"errors        ± to the end of the 95 % interval; {standing}")
    return "\n".join([*rows(values, feature_labels(e.features), show.top, show.fdr), "", *lines])
