"""An explanation of a text as a table for the terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence

from spexjax.explanation import Explanation
from spexjax.models.api.value import ApiValue
from spexjax.models.cli.design_file import Asked
from spexjax.models.values.language import LanguageValue
from spexjax.models.values.text import TextValue


def table(
    e: Explanation,
    f: TextValue | LanguageValue | ApiValue | Asked,
    terms: Iterable[tuple[tuple[int, ...], float]],
    index: str,
    top: int,
) -> str:
    """The strongest sets and what was done to find them.

    Args:
      e: the explanation of f.
      f: the value function of a text.
      terms: sets of features and their values, in any order.
      index: the name of the values.
      top: at most so many sets are listed, the largest by magnitude.
    """
    rows = sorted(terms, key=lambda t: (-abs(t[1]), t[0]))[:top]
    labels = feature_labels(f.words)
    cells = [(f"{v:+.3f}", " + ".join(labels[i] for i in s), str(len(s))) for s, v in rows]
    width = max([len(index), *(len(c[0]) for c in cells)])
    unit = "words" if all(len(w.split()) < 2 for w in f.words) else "pieces of text"
    lines = [
        f"model         {f.description}",
        f"value         {float(e.full):+.3f} for the text, {float(e.empty):+.3f} with all masked",
        f"method        {e.method}, {e.calls} calls for {f.n} {unit} (budget {e.budget}, "
        f"seed {e.seed})",
        f"faithfulness  {faithfulness(e)}",
    ]
    if isinstance(f, TextValue | LanguageValue) and f.source.cut:
        lines.append(
            f"note          {len(f.source.cut)} more lie beyond the model's "
            f"{f.model.config.max_position_embeddings} positions and have no influence"
        )
    head = [f"{index:>{width}}  order  set"]
    head += [f"{value:>{width}}  {order:>5}  {names}" for value, names, order in cells]
    return "\n".join([*head, "", *lines])


def feature_labels(words: Sequence[str], limit: int = 40) -> list[str]:
    """Printable names of features: repeated ones get their position from 0, long ones are cut.

    Control characters are replaced, so that a text cannot steer the terminal.
    """
    count = Counter(words)
    out = []
    for i, word in enumerate(words):
        name = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(word.split()))
        name = name if len(name) <= limit else name[: limit - 1] + "…"
        out.append(f"{name}@{i}" if count[word] > 1 else name)
    return out


def faithfulness(e: Explanation) -> str:
    """R² with its interval, in words."""
    if e.method == "exact":
        return f"R² = {float(e.faithfulness):.4g} (exact: every mask was tried)"
    low, high = (float(end) for end in e.faithfulness_interval)
    return f"R² = {float(e.faithfulness):.3f} on held-out masks (95 %: {low:.3f} to {high:.3f})"
