"""``spexjax design``: which masks to ask for, as a file, and as requests for a batch service."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import api_arguments, text_arguments
from spexjax.models.cli.one_text import value_of
from spexjax.models.cli.options import CommandError, MaskOptions, TextOptions

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


@dataclass(frozen=True)
class Design:
    """What ``spexjax design`` is to do: for n features of anything, or for those of a text."""

    n: int | None
    text: TextOptions | None
    masks: MaskOptions
    out: str
    prompts: str | None


def read(given: argparse.Namespace) -> Design:
    """What is wanted, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    text = None
    if given.n is None:
        text = text_arguments.read(given)
    elif given.prompts or given.text or given.file or given.task == "qa":
        raise CommandError("--n is for features that are not of a text")
    if given.prompts and text is not None and text.question is not None:
        raise CommandError("--prompts is for a text and --question, not for --task qa")
    for option, path in (("--out", given.out), ("--prompts", given.prompts)):
        if path and not Path(path).absolute().parent.is_dir():
            raise CommandError(f"no folder to write {option} {path!r} into")
        if path and Path(path).exists():
            raise CommandError(f"{option} {path!r} is there already")
    return Design(given.n, text, text_arguments.read_masks(given), given.out, given.prompts)


def run(wanted: Design) -> None:
    """Writes the files."""
    from spexjax.models.cli import design_file
    from spexjax.steps import design

    asked, masks = _asked(wanted), wanted.masks
    chosen = design(
        asked.n, budget=masks.budget, method=masks.method, target=masks.target, seed=masks.seed
    )
    if asked.batch is not None and wanted.prompts is not None:
        count = asked.batch.write(chosen, wanted.prompts)
    design_file.save(wanted.out, chosen, asked)
    print(f"{len(chosen):,} masks of {asked.n} features in {wanted.out}")
    if asked.batch is not None:
        print(f"{count:,} requests in {wanted.prompts}")


def _asked(wanted: Design) -> "Asked":
    from spexjax.models.cli.design_file import Asked, Source

    text = wanted.text
    if text is None:
        assert wanted.n is not None
        return Asked(wanted.n)
    if wanted.prompts and text.api is not None:
        batch = api_arguments.batch_of(text.api, text.content)
        source = Source(batch.source.text, batch.source.spans)
        return Asked(len(batch.source.spans), batch.description, source, batch)
    f = value_of(text, *text_arguments.classifier(text), text.content)
    return Asked(f.n, f.description, Source(f.source.text, f.source.spans))
