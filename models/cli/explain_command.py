"""``spexjax explain``: one text to a table and a page, or many texts, one per line, to JSON."""

import argparse
import sys
from typing import Any

from spexjax.models.cli import api_arguments, store_command, text_arguments
from spexjax.models.cli.one_text import CommandError, chunk_size, explain_text, value_of


def add_parser(commands: Any) -> None:
    """Adds ``explain`` to the sub-commands."""
    parser = commands.add_parser(
        "explain",
        help="explain a model's answer to a text or to a question",
        description="Masks words of a text, asks the model, and prints which words and which sets "
        "of words move its answer. Writes a page to look at them.",
    )
    what = text_arguments.add_arguments(parser)
    what.add_argument("--per-line", action="store_true", help="each line of --file is a text; "
                      "needs --json; goes on after a stop")  # fmt: skip
    text_arguments.add_design_arguments(parser)
    store_command.add_arguments(parser)
    text_arguments.add_show_arguments(parser)


def check(given: argparse.Namespace) -> None:
    """Finds what is wrong with the arguments before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    text_arguments.check(given)
    text_arguments.check_show(given)
    if given.per_line and (given.file is None or given.json is None):
        raise CommandError("--per-line needs --file F and --json OUT")
    if given.per_line and (api_arguments.wanted(given) or given.dry_run):
        raise CommandError("--per-line takes neither --api-base nor --dry-run")


def run(given: argparse.Namespace) -> None:
    """Explains what :func:`check` found in order, prints the table, writes the files."""
    from spexjax.indices.of_spectrum import interactions
    from spexjax.spectra.spectrum import Spectrum

    interactions(Spectrum.from_dict({(): 0.0}, 1), given.index)  # is there such an index?
    model, label = text_arguments.classifier(given)
    if given.per_line:
        from spexjax.models.cli.per_line import explain_lines

        assert model is not None
        explain_lines(given, model, label)
        return
    f = value_of(given, model, label, given.content)
    if not store_command.announce(f, given, chunk_size(given)):
        return
    e = explain_text(given, f, progress=sys.stderr.isatty())
    text_arguments.show(given, e, f)
