"""``spexjax design``: which masks to ask for, as a file, and as requests for a batch service."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import api_arguments, question_arguments, text_arguments
from spexjax.models.cli.one_text import CommandError, value_of

if TYPE_CHECKING:
    from spexjax.models.cli.design_file import Asked


def add_parser(commands: Any) -> None:
    """Adds ``design`` to the sub-commands."""
    parser = commands.add_parser(
        "design",
        help="choose the masks to ask for, to be evaluated elsewhere",
        description="Chooses the masks of a text's features, or of --n features of anything, and "
        "saves them. `spexjax work` evaluates a part of them, `spexjax fit` explains their values.",
    )
    what = text_arguments.add_arguments(parser)
    what.add_argument("--n", type=text_arguments.positive, help="no text: this many features")
    text_arguments.add_design_arguments(parser)
    out = parser.add_argument_group("files").add_argument
    out("--out", metavar="F", default="design.npz", help="the design (default: design.npz)")
    out("--prompts", metavar="F", help="also write a request for every mask, in the format of "
        "OpenAI's Batch API, for --api-model and --question")  # fmt: skip
    out("--debug", action="store_true", help="show tracebacks")


def check(given: argparse.Namespace) -> None:
    """Finds what is wrong with the arguments before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    if given.n is not None:
        if given.prompts or given.text or given.file or question_arguments.wanted(given):
            raise CommandError("--n is for features that are not of a text")
    else:
        text_arguments.check(given)
    if given.prompts and question_arguments.wanted(given):
        raise CommandError("--prompts is for a text and --question, not for --task qa")
    for option, path in (("--out", given.out), ("--prompts", given.prompts)):
        if path and not Path(path).absolute().parent.is_dir():
            raise CommandError(f"no folder to write {option} {path!r} into")
        if path and Path(path).exists():
            raise CommandError(f"{option} {path!r} is there already")


def run(given: argparse.Namespace) -> None:
    """Writes the files."""
    from spexjax.models.cli import design_file
    from spexjax.steps import design

    asked = _asked(given)
    chosen = design(asked.n, budget=given.budget, method=given.method, seed=given.seed)
    if asked.batch is not None:
        count = asked.batch.write(chosen, given.prompts)
    design_file.save(given.out, chosen, asked)
    print(f"{len(chosen):,} masks of {asked.n} features in {given.out}")
    if asked.batch is not None:
        print(f"{count:,} requests in {given.prompts}")


def _asked(given: argparse.Namespace) -> "Asked":
    from spexjax.models.cli.design_file import Asked, Source

    if given.n is not None:
        return Asked(given.n)
    if given.prompts:
        batch = api_arguments.batch_of(given, given.content)
        source = Source(batch.source.text, batch.source.spans)
        return Asked(len(batch.source.spans), batch.description, source, batch)
    f = value_of(given, *text_arguments.classifier(given), given.content)
    return Asked(f.n, f.description, Source(f.source.text, f.source.spans))
