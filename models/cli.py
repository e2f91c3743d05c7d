"""The ``spexjax`` command: which words, and which sets of words, move a classifier's answer."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.explanation import Explanation
    from spexjax.models.parallel import TextValue

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class CommandError(Exception):
    """What the user can put right; shown in one line."""


def build_parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(prog="spexjax", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser(
        "explain", help="explain a classifier's answer to a text"
    ).add_argument
    add("text", nargs="?", help="the text")
    add("--file", metavar="F", help="read the text from this file (UTF-8)")
    add("--model", metavar="DIR", help="Hugging Face folder of a DistilBERT or BERT sequence "
        "classifier (default: the embedded sentiment classifier)")  # fmt: skip
    add("--features", choices=("words", "sentences"), default="words", help="what is masked")
    add("--label", metavar="CLASS", help="class to explain, by name or number (default: positive)")
    add("--score", choices=("logit", "log-odds", "probability", "margin"), default="logit")
    add("--budget", type=_positive, default=2000, metavar="N", help="model calls (default: 2000)")
    add("--method", default="auto", help="auto, exact, spex or linear")
    add("--seed", type=int, default=0)
    add("--index", default="FBII", help="interaction index, such as FBII, FSII, SII, SV, Moebius")
    add("--order", type=_positive, metavar="L", help="order of the index (default: 5)")
    add("--top", type=_positive, default=15, metavar="K", help="rows of the table (default: 15)")
    add("--json", metavar="OUT", help="write the explanation to this file")
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    given = build_parser().parse_args(arguments)
    try:
        print(_explain(given))
        return OK
    except KeyboardInterrupt:
        print("spexjax: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if given.debug:
            raise
        print(f"spexjax: error: {_one_line(error)}", file=sys.stderr)
        return USAGE if isinstance(error, CommandError) else FAILED


def _explain(given: argparse.Namespace) -> str:
    text = _read_text(given)
    if given.json and not Path(given.json).absolute().parent.is_dir():
        raise CommandError(f"no folder to write {given.json!r} into")
    if given.model is not None and not Path(given.model).is_dir():
        raise CommandError(f"no model folder {given.model!r}")

    import jax

    _use_compilation_cache(jax)
    from spexjax.explain import explain
    from spexjax.models.classifier import load_classifier
    from spexjax.models.parallel import value_function

    model = load_classifier(given.model)
    label = None if given.label is None else _label(given.label, model.label_names)
    f = value_function(model, text, given.features, label, given.score)
    e = explain(
        f, f.n, budget=given.budget, method=given.method, seed=given.seed,
        features=f.words, chunk_size=512, progress=sys.stderr.isatty(),
    )  # fmt: skip
    terms = e.interactions(given.index, max_order=given.order)
    if given.json:
        e.save(given.json)
    return report(e, f, terms, given.index, given.top)


def report(
    e: "Explanation",
    f: "TextValue",
    terms: Iterable[tuple[tuple[int, ...], float]],
    index: str,
    top: int,
) -> str:
    """What the command prints.

    Args:
      e: the explanation of f.
      f: the value function of a text.
      terms: sets of features and their values, in any order.
      index: the name of the values.
      top: at most so many sets are listed, the largest by magnitude.
    """
    rows = sorted((t for t in terms if t[0]), key=lambda t: (-abs(t[1]), t[0]))[:top]
    labels = feature_labels(f.words)
    cells = [(f"{v:+.3f}", " + ".join(labels[i] for i in s), str(len(s))) for s, v in rows]
    width = max([len(index), *(len(c[0]) for c in cells)])
    unit = "words" if max(map(len, f.words)) < 40 else "pieces of text"
    lines = [
        f"model         {f.model.name}, {f.kind} of {f.model.label_names[f.label]}",
        f"value         {float(e.full):+.3f} for the text, {float(e.empty):+.3f} with all masked",
        f"method        {e.method}, {e.calls} calls for {f.n} {unit} (budget {e.budget}, "
        f"seed {e.seed})",
        f"faithfulness  {_faithfulness(e)}",
    ]
    if f.source.cut:
        lines.append(
            f"note          {len(f.source.cut)} more lie beyond the model's "
            f"{f.model.config.max_position_embeddings} positions and have no influence"
        )
    table = [f"{index:>{width}}  order  set"]
    table += [f"{value:>{width}}  {order:>5}  {names}" for value, names, order in cells]
    return "\n".join([*table, "", *lines])


def feature_labels(words: Sequence[str], limit: int = 40) -> list[str]:
    """Printable names of features: repeated ones are numbered by position, long ones cut.

    Control characters are replaced, so that a text cannot steer the terminal.
    """
    count = Counter(words)
    out = []
    for i, word in enumerate(words):
        name = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(word.split()))
        name = name if len(name) <= limit else name[: limit - 1] + "…"
        out.append(f"{name}#{i + 1}" if count[word] > 1 else name)
    return out


def _faithfulness(e: "Explanation") -> str:
    if e.method == "exact":
        return "R² = 1 (exact: every mask was tried)"
    low, high = (float(end) for end in e.faithfulness_interval)
    return f"R² = {float(e.faithfulness):.3f} on held-out masks (95 %: {low:.3f} to {high:.3f})"


def _read_text(given: argparse.Namespace) -> str:
    if (given.text is None) == (given.file is None):
        raise CommandError("give either a text or --file F")
    text = given.text
    if given.file is not None:
        try:
            text = Path(given.file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(f"{given.file!r} is not UTF-8 text") from error
        except OSError as error:
            raise CommandError(f"cannot read {given.file!r}: {error.strerror}") from error
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


def _use_compilation_cache(jax) -> None:
    """Keeps compiled programs in the user's cache folder, unless one is configured already."""
    if jax.config.jax_compilation_cache_dir:
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "spexjax" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    plain = isinstance(error, CommandError | ValueError | OSError)
    return text if plain else f"{type(error).__name__}: {text} (--debug shows where)"


if __name__ == "__main__":
    sys.exit(main())
