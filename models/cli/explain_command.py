"""``spexjax explain``: a text, many texts, a picture, or training data."""

import argparse
import sys
from typing import Any

from spexjax.models.cli import data_arguments, image_arguments, store_command, text_arguments
from spexjax.models.cli.announcement import announce
from spexjax.models.cli.one_text import chunk_size, explain_text, value_of
from spexjax.models.cli.options import CommandError, Explain, ExplainData, ExplainPicture
from spexjax.models.cli.texts_file import options_of

_TOP_OF_MANY = 200  # sets kept of each of many texts: a summary needs more than a table


def add_parser(commands: Any) -> None:
    """Adds ``explain`` to the sub-commands."""
    parser = commands.add_parser(
        "explain",
        help="explain a model's answer to a text, to a question, or about a picture",
        description="Masks words of a text or cells of a picture, asks the model, and prints which "
        "of them and which sets of them move its answer. Writes a page to look at them.",
    )
    what = text_arguments.add_arguments(parser)
    what.add_argument("--column", metavar="NAME", help="--file is a table (.csv, .tsv) or lines of "
                      "JSON (.jsonl) with a text in this column; needs --json, which gets a line "
                      "for each; goes on after a stop")  # fmt: skip
    what.add_argument("--class-column", metavar="NAME", help="column with each text's class, for "
                      "`spexjax summarize`")  # fmt: skip
    what.add_argument("--per-line", action="store_true", help="each line of --file is a text; "
                      "needs --json; goes on after a stop")  # fmt: skip
    image_arguments.add_arguments(parser.add_argument_group("a picture"))
    data_arguments.add_arguments(parser.add_argument_group("training data"))
    text_arguments.add_design_arguments(parser)
    store_command.add_arguments(parser)
    text_arguments.add_show_arguments(parser)


def read(given: argparse.Namespace) -> Explain | ExplainData | ExplainPicture:
    """What is wanted, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    picture = image_arguments.read(given)
    if picture is not None:
        return picture
    data = data_arguments.read(given)
    if data is not None:
        return data
    many = options_of(given.file, given.per_line, given.column, given.class_column)
    text = text_arguments.read(given)
    show = text_arguments.read_show(given, _TOP_OF_MANY if many else text_arguments.TOP)
    if many is not None and show.json is None:
        raise CommandError("many texts need --json OUT, which gets a line for each")
    if many is not None and (text.api is not None or given.dry_run):
        raise CommandError("many texts take neither --api-base nor --dry-run")
    each = text_arguments.BUDGET if many is None else text_arguments.BUDGET_OF_MANY
    masks = text_arguments.read_masks(given, each)
    return Explain(text, masks, show, given.store, given.dry_run, many)


def run(asked: Explain | ExplainData | ExplainPicture) -> None:
    """Explains, prints the table, writes the files."""
    from spexjax.indices.of_spectrum import interactions
    from spexjax.models.api.value import ApiValue
    from spexjax.spectra.spectrum import Spectrum

    # Is there such an index?
    interactions(Spectrum.from_dict({(): 0.0}, 1), asked.show.index)
    if isinstance(asked, ExplainPicture):
        image_arguments.run(asked)
        return
    if isinstance(asked, ExplainData):
        data_arguments.run(asked)
        return
    text = asked.text
    model, label = text_arguments.classifier(text)
    if asked.many is not None:
        from spexjax.models.cli.many_texts import explain_texts

        assert model is not None
        explain_texts(asked, model, label)
        return
    f = value_of(text, model, label, text.content)
    price = None if text.api is None else text.api.price
    announce(f, asked.masks, chunk_size(text), asked.store, asked.dry_run, price)
    if asked.dry_run:
        return
    e = explain_text(text, asked.masks, f, asked.store, progress=sys.stderr.isatty())
    text_arguments.show(asked.show, e, f, f.report() if isinstance(f, ApiValue) else None)
