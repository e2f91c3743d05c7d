"""``spexjax explain``: one text to a table and a page, or many texts, one per line, to JSON."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spexjax.models.cli import api_arguments, question_arguments, store_command
from spexjax.models.cli.one_text import CommandError, chunk_size, explain_text, value_of

PAGE = "explanation.html"
_SCORES = ("logit", "log-odds", "probability", "margin")


def add_parser(commands: Any) -> None:
    """Adds ``explain`` to the sub-commands."""
    parser = commands.add_parser(
        "explain",
        help="explain a model's answer to a text or to a question",
        description="Masks words of a text, asks the model, and prints which words and which sets "
        "of words move its answer. Writes a page to look at them.",
    )
    what = parser.add_argument_group("what to explain").add_argument
    what("text", nargs="?", help="the text")
    what("--file", metavar="F", help="read the text from this file (UTF-8)")
    what("--per-line", action="store_true",
         help="each line of --file is a text; needs --json; goes on after a stop")  # fmt: skip
    what("--model", metavar="DIR_OR_ID", help="folder or Hugging Face id of a DistilBERT or BERT "
         "sequence classifier (default: the embedded sentiment classifier)")  # fmt: skip
    what("--revision", metavar="REV", help="branch, tag or commit of a Hugging Face id")
    what("--features", choices=("words", "sentences", "tokens"),
         help="what is masked (default: words; of --task qa, sentences)")  # fmt: skip
    what("--replacement", choices=("unk", "mask", "pad", "delete"), default="unk",
         help="what a masked feature becomes (default: unk, the model's [UNK])")  # fmt: skip
    what("--label", metavar="CLASS", help="class to explain, by name or number (default: positive)")
    what("--score", choices=(*_SCORES, *question_arguments.SCORES),
         help="the value (default: logit; of --task qa, log-probability)")  # fmt: skip

    how = parser.add_argument_group("how").add_argument
    how("--budget", type=_positive, default=2000, metavar="N", help="model calls (default: 2000)")
    how("--method", default="auto", help="auto, exact, spex, proxyspex, … (default: auto)")
    how("--seed", type=int, default=0)
    store_command.add_arguments(parser)
    question_arguments.add_arguments(parser.add_argument_group("a question about a context"))
    api_arguments.add_arguments(parser.add_argument_group("a model behind an API"))

    show = parser.add_argument_group("what to show").add_argument
    show("--index", default="FBII", help="interaction index, such as FBII, FSII, SII, SV, Moebius")
    show("--order", type=_positive, metavar="L", help="order of the index (default: 5)")
    show("--top", type=_positive, default=15, metavar="K", help="rows of the table (default: 15)")
    show("--html", metavar="OUT", default=PAGE, help=f"write the page here (default: {PAGE})")
    show("--no-html", dest="html", action="store_const", const=None, help="write no page")
    show("--json", metavar="OUT", help="write the explanation to this file")
    show("--debug", action="store_true", help="show tracebacks")


def check(given: argparse.Namespace) -> None:
    """Finds what is wrong with the arguments before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    asked = question_arguments.wanted(given)
    given.features = given.features or ("sentences" if asked else "words")
    given.score = given.score or (question_arguments.SCORES if asked else _SCORES)[0]
    if given.score not in (question_arguments.SCORES if asked else _SCORES):
        raise CommandError(f"--score {given.score} is not one of --task {given.task}")
    try:
        question_arguments.check(given)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not asked and (given.text is None) == (given.file is None):
        raise CommandError("give either a text or --file F")
    if given.per_line and (given.file is None or given.json is None):
        raise CommandError("--per-line needs --file F and --json OUT")
    if given.revision is not None and (given.model is None or api_arguments.wanted(given)):
        raise CommandError("--revision needs --model with the id of a model of the hub")
    for option, path in (("--html", given.html), ("--json", given.json)):
        if path and not Path(path).absolute().parent.is_dir():
            raise CommandError(f"no folder to write {option} {path!r} into")
    try:
        if not asked:
            api_arguments.check(given)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if given.per_line and (api_arguments.wanted(given) or given.dry_run):
        raise CommandError("--per-line takes neither --api-base nor --dry-run")
    given.content = _content(given)


def run(given: argparse.Namespace) -> None:
    """Explains what :func:`check` found in order, prints the table, writes the files."""
    from spexjax.indices.of_spectrum import interactions
    from spexjax.spectra.spectrum import Spectrum

    interactions(Spectrum.from_dict({(): 0.0}, 1), given.index)  # is there such an index?
    model, label = None, None
    if not api_arguments.wanted(given) and not question_arguments.wanted(given):
        from spexjax.models.bert.classifier import load_classifier

        model = load_classifier(given.model, given.revision)
        label = None if given.label is None else _label(given.label, model.label_names)
    if given.per_line:
        from spexjax.models.cli.per_line import explain_lines

        assert model is not None
        explain_lines(given, model, label)
        return
    f = value_of(given, model, label, given.content)
    if not store_command.announce(f, given, chunk_size(given)):
        return
    e = explain_text(given, f, progress=sys.stderr.isatty())
    from spexjax.models.cli.table import table

    print(table(e, f, e.interactions(given.index, max_order=given.order), given.index, given.top))
    if api_arguments.wanted(given):
        print(f.report())
    if given.json:
        e.save(given.json)
    if given.html:
        e.to_html(
            given.html, f.source.text, f.source.spans, f.description,
            index=given.index, max_order=given.order,
        )  # fmt: skip
        print(f"page          {given.html}")


def _content(given: argparse.Namespace) -> str:
    text, file = given.text, given.file or given.context
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(f"{file!r} is not UTF-8 text") from error
        except OSError as error:
            raise CommandError(f"cannot read {file!r}: {error.strerror}") from error
    if not text.strip():
        raise CommandError("the text is empty")
    return text


def _label(given: str, names: Sequence[str]) -> int:
    lowered = [name.lower() for name in names]
    if given.lower() in lowered:
        return lowered.index(given.lower())
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    raise CommandError(f"--label must be one of {', '.join(names)} (or its number), got {given!r}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)
