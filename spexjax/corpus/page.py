"""A summary of many texts as one HTML file that needs nothing else, and what is said of it."""

import math
from collections.abc import Sequence
from importlib import resources
from typing import Any, Protocol

import jinja2
import numpy as np

from spexjax.corpus.form import Form
from spexjax.indices.interaction_values import Interactions
from spexjax.plot import svg, terms

_ROWS, _GROUP_ROWS, _DRAWN = 40, 12, 200


class Summarised(Protocol):
    """What the page reads of a :class:`~spexjax.corpus.summary.Summary`, which writes it."""

    @property
    def forms(self) -> tuple[Form, ...]: ...
    @property
    def words(self) -> tuple[Form, ...]: ...
    @property
    def sets(self) -> tuple[Form, ...]: ...
    @property
    def texts(self) -> int: ...
    @property
    def scores(self) -> tuple[float, ...]: ...
    @property
    def index(self) -> str: ...
    @property
    def fdr(self) -> float: ...
    @property
    def least(self) -> int: ...
    @property
    def groups(self) -> Any: ...

    def interactions(self, top: int = 500) -> Interactions: ...


def heading(summary: Summarised) -> str:
    """How many texts, and how many forms stand."""
    stand = sum(form.stands for form in summary.forms)
    tested = sum(form.texts >= summary.least for form in summary.forms)
    words, sets = counted(len(summary.words), "word"), counted(len(summary.sets), "set")
    found = f"{counted(summary.texts, 'text')}, {words} and {sets}"
    if not tested:
        return f"{found}; none was tested, since none is in {summary.least} texts or more"
    return (
        f"{found}; {stand:,} of the {tested:,} in {summary.least} texts or more "
        f"{'stands' if stand == 1 else 'stand'} (*) at a false discovery rate of "
        f"{terms.rate(summary.fdr)}"
    )


def counted(count: int, what: str) -> str:
    """A number of things, in words."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def faithfulness(summary: Summarised) -> str:
    """R² of the texts in a line."""
    scores = np.array(summary.scores)
    known = scores[~np.isnan(scores)]
    if not known.size:
        return "R² was not measured"
    low = int((known < 0.5).sum())
    doubt = f"; {low:,} below 0.5 are not to be believed one by one" if low else ""
    return f"R² = {np.median(known):.3f} in the middle, {known.min():.3f} at worst{doubt}"


def render(summary: Summarised, title: str | None = None) -> str:
    """The page of a summary."""
    report, own = resources.files("spexjax.report"), resources.files("spexjax.corpus")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    drawn = summary.interactions(_DRAWN)
    return template.from_string((own / "page.html").read_text(encoding="utf-8")).render(
        title=terms.printable(title or f"{summary.texts:,} texts"),
        style=(report / "page.css").read_text(encoding="utf-8")
        + (own / "page.css").read_text(encoding="utf-8"),
        heading=heading(summary),
        faithfulness=faithfulness(summary),
        index=summary.index,
        least=summary.least,
        sections=[
            _section("Words", summary.words, _ROWS),
            _section("Sets of words", summary.sets, _ROWS),
        ],
        groups=[
            (name, part.texts, [_section("", part.forms, _GROUP_ROWS)])
            for name, part in summary.groups.items()
        ],
        pictures=svg.figures(drawn, summary.fdr) if len(drawn) else "",
    )


def _section(title: str, forms: Sequence[Form], most: int) -> dict[str, Any]:
    shown = forms[:most]
    ends = [abs(x) for form in shown for x in (form.mean, form.low, form.high) if math.isfinite(x)]
    reach = max(ends, default=1.0) or 1.0
    rows = [_row(form, reach) for form in shown]
    return {"title": title, "rows": rows, "more": len(forms) - len(shown)}


def _row(form: Form, reach: float) -> dict[str, Any]:
    """A form in words, and its bar in percent of half the width."""

    def place(x: float) -> float:
        return round(50 + 50 * x / reach, 2)

    known = math.isfinite(form.low)
    zero, tip = 50.0, place(form.mean)
    return {
        "name": " + ".join(terms.printable(word) for word in form.words),
        "mean": terms.signed(form.mean, 3),
        "spread": "" if math.isnan(form.spread) else f"{form.spread:.3f}",
        "agreement": "" if math.isnan(form.agreement) else f"{form.agreement:.0%}",
        "texts": f"{form.texts:,}",
        "stands": form.stands,
        "kind": "o" if not form.stands else "p" if form.mean >= 0 else "m",
        "left": min(zero, tip),
        "width": abs(tip - zero),
        "low": place(form.low) if known else None,
        "span": place(form.high) - place(form.low) if known else None,
        "interval": f"{terms.signed(form.low, 3)} to {terms.signed(form.high, 3)}" if known else "",
    }
