"""``spexjax summarize``: which words and sets matter over many explained texts."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spexjax.models.cli.options import CommandError
from spexjax.models.cli.text_arguments import positive, rate

PAGE = "summary.html"


def add_parser(commands: Any) -> None:
    """Adds ``summarize`` to the sub-commands."""
    parser = commands.add_parser(
        "summarize",
        help="say which words and sets matter over many explained texts",
        description="Reads what `spexjax explain --file F --column NAME --json OUT` wrote: means "
        "over texts, with intervals, by surface form and by class; and writes a page.",
    )
    parser.add_argument("file", metavar="OUT", help="the JSON lines")
    add = parser.add_argument
    add("--fdr", type=rate, default=0.1, metavar="Q", help="false discovery rate of the words and "
        "sets that stand (default: 0.1)")  # fmt: skip
    add("--least", type=positive, default=5, metavar="T", help="texts that a word or set must be "
        "in to be tested (default: 5)")  # fmt: skip
    add("--html", metavar="PAGE", default=PAGE, help=f"write the page here (default: {PAGE})")
    add("--no-html", dest="html", action="store_const", const=None, help="write no page")
    add("--debug", action="store_true", help="show tracebacks")


@dataclass(frozen=True)
class Summarize:
    """What ``spexjax summarize`` is to do."""

    file: str
    fdr: float
    least: int
    html: str | None


def read(given: argparse.Namespace) -> Summarize:
    """What is wanted, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    if not Path(given.file).is_file():
        raise CommandError(f"there is no {given.file!r}")
    if given.html and not Path(given.html).absolute().parent.is_dir():
        raise CommandError(f"no folder to write --html {given.html!r} into")
    if given.least < 2:
        raise CommandError("--least must be at least 2: one text has no spread")
    return Summarize(given.file, given.fdr, given.least, given.html)


def run(wanted: Summarize) -> None:
    """Prints the summary and writes the page."""
    from spexjax.corpus import summarize

    found = summarize(wanted.file, fdr=wanted.fdr, least=wanted.least)
    print(found)
    if wanted.html:
        found.to_html(wanted.html, Path(wanted.file).name)
        print(f"page  {wanted.html}")
