"""Words and sets of words over many texts: means, spread, and what is not by chance."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax.codes import gf2
from spexjax.corpus import page
from spexjax.corpus.form import Form, Name
from spexjax.corpus.texts import Text, read
from spexjax.indices.interaction_values import Interactions, ranking
from spexjax.inference.discoveries import benjamini_hochberg
from spexjax.plot import terms

_FDR, _LEAST, _SHOWN = 0.1, 5, 12


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """Which words and sets matter over a corpus; made by :func:`summarize`.

    Attributes:
      forms: those that stand first, then by the magnitude of their means.
      texts: how many there were.
      scores: R² of each.
      index, order: of what the values are.
      fdr: the false discovery rate at which forms stand.
      least: texts that a form must be in to be tested.
      groups: a summary of each class, by its name; empty where classes are not known.
    """

    forms: tuple[Form, ...]
    texts: int
    scores: tuple[float, ...]
    index: str
    order: int
    fdr: float
    least: int
    groups: dict[str, "Summary"]

    @property
    def words(self) -> tuple[Form, ...]:
        """The single words."""
        return tuple(form for form in self.forms if len(form.words) == 1)

    @property
    def sets(self) -> tuple[Form, ...]:
        """The sets of two words or more."""
        return tuple(form for form in self.forms if len(form.words) > 1)

    def __getitem__(self, words: str | Name) -> Form:
        """A form by its words, in any case and order.

        Raises:
          KeyError: if no text has them as a set with a value.
        """
        key = _key([words] if isinstance(words, str) else words)
        return self._by_name[key]

    @cached_property
    def _by_name(self) -> dict[Name, Form]:
        return {form.words: form for form in self.forms}

    def interactions(self, top: int = 500) -> Interactions:
        """The first ``top`` forms as interactions of words, for ``sx.plot.bar`` and the others."""
        chosen = self.forms[:top]
        names = sorted({word for form in chosen for word in form.words})
        place = {name: i for i, name in enumerate(names)}
        bits = np.zeros((len(chosen), max(len(names), 1)), bool)
        for row, form in zip(bits, chosen, strict=True):
            row[[place[word] for word in form.words]] = True
        packed = gf2.pack_numpy(bits, gf2.num_words(bits.shape[1]))
        values = np.array([form.mean for form in chosen], float)
        order = ranking(values)
        return Interactions(
            packed[order],
            values[order],
            bits.shape[1],
            f"mean {self.index}",
            self.order,
            tuple(names) or ("",),
            errors=_OverTexts(packed[order], tuple(chosen[i] for i in order)),
        )

    def to_html(self, path: str | Path, title: str | None = None) -> None:
        """Writes one self-contained page: words, sets, pictures, and each class."""
        Path(path).write_text(page.render(self, title), encoding="utf-8")

    def __str__(self) -> str:
        """The strongest words and sets."""
        lines = [page.heading(self), page.faithfulness(self)]
        for title, forms in (("words", self.words), ("sets", self.sets)):
            if forms:
                lines += ["", *_table(title, forms[:_SHOWN], len(forms))]
        for name, part in self.groups.items():
            strong = ", ".join(
                f"{' + '.join(form.words)} {terms.signed(form.mean, 2)}" for form in part.forms[:5]
            )
            lines += ["", f"{name}: {page.counted(part.texts, 'text')}; {strong}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Summary of {self.texts:,} texts, {len(self.forms):,} words and sets>"


@dataclass(frozen=True, eq=False)
class Means:
    """Errors of means over texts, each of its own number of them (``Interactions.estimates``)."""

    estimate: Float[np.ndarray, "L"]
    standard_error: Float[np.ndarray, "L"]
    low: Float[np.ndarray, "L"]
    high: Float[np.ndarray, "L"]
    p_value: Float[np.ndarray, "L"]
    estimand: str = "the mean over texts like these"

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the intervals.

        Raises:
          ValueError: if the level is not 0.95.
        """
        if level != 0.95:
            raise ValueError(f"a summary has intervals at level 0.95, got {level}.")
        return self.low, self.high


@dataclass(frozen=True, eq=False)
class _OverTexts:
    """Knows the errors of a summary's interactions (:class:`spexjax.typing.Errors`)."""

    supports: UInt32[np.ndarray, "L W"]
    forms: tuple[Form, ...]

    def _rows(self, sets: UInt32[np.ndarray, "L W"]) -> np.ndarray:
        return gf2.places_among(sets, self.supports)

    def __call__(self, name: str, max_order: int, sets: np.ndarray, values: np.ndarray) -> Means:
        """The errors of the means of packed sets."""
        forms = [self.forms[i] for i in self._rows(sets)]
        low, high = (np.array([getattr(f, end) for f in forms], float) for end in ("low", "high"))
        error = [f.spread / math.sqrt(f.texts) for f in forms]
        p_value = np.array([f.p_value for f in forms], float)
        return Means(values, np.array(error, float), low, high, p_value)

    def stands(self, sets: np.ndarray, fdr: float) -> Bool[np.ndarray, "L"]:
        """Which sets stand at the summary's own rate."""
        return np.array([self.forms[i].stands for i in self._rows(sets)], bool)


def summarize(
    source: str | Path | Iterable[Any],
    *,
    index: str = "FBII",
    max_order: int | None = None,
    fdr: float = _FDR,
    least: int = _LEAST,
) -> Summary:
    """Summarises explained texts by the surface forms of their words.

    Every text that has all words of a set gives it one value. The mean of these values is a
    statement about texts like these, and its interval and test, Student's t over texts, take in
    both how texts differ and how far each value may be off, whatever the explanations knew of
    their own errors. Means that are not 0 stand at a false discovery rate (Benjamini, Hochberg
    1995) among all forms that are in ``least`` texts or more. Sets are named by the same texts
    that test them, so that the smallest means of rare sets are still a little too large.

    Args:
      source: the file that ``spexjax explain --file … --json`` wrote, or its lines' objects, or
        explanations of texts.
      index, max_order: what to read of explanations; a file has its own.
      fdr: the false discovery rate.
      least: texts that a form must be in to be tested, at least 2.

    Raises:
      ValueError: if there are no texts, their indices differ, or an argument is out of range.
    """
    if not 0 < fdr < 1:
        raise ValueError(f"fdr must be between 0 and 1, got {fdr}.")
    if least < 2:
        raise ValueError(f"least must be at least 2, got {least}.")
    texts = list(read(source, index, max_order))
    if not texts:
        raise ValueError("there are no explained texts to summarise.")
    kinds = {(text.kind, text.order) for text in texts if text.words}
    if len({name for name, _ in kinds}) != 1:
        raise ValueError(f"all texts must have values of one index, got {sorted(kinds)}.")
    by_group: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        if text.group is not None:
            by_group[text.group].append(text)
    groups = {name: _summary(by_group[name], fdr, least, {}) for name in sorted(by_group)}
    return _summary(texts, fdr, least, groups if len(groups) > 1 else {})


def _summary(texts: list[Text], fdr: float, least: int, groups: dict[str, Summary]) -> Summary:
    found: dict[Name, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    errors: dict[Name, float] = {}
    having: dict[str, set[int]] = defaultdict(set)
    counts = []
    for t, text in enumerate(texts):
        forms = [_form(word) for word in text.words]
        counts.append(Counter(forms))
        for form in set(forms):
            having[form].add(t)
            found[(form,)]  # its value is 0 where it is not listed
        for (members, value), error in zip(text.sets, text.errors, strict=True):
            key = tuple(sorted(forms[i] for i in members))
            found[key][t].append(value)
            errors[key] = error
    rows = []
    for key, values in found.items():
        inside = set.intersection(*(having[word] for word in set(key)))
        need = Counter(key)
        if max(need.values()) > 1:
            inside = {t for t in inside if need <= counts[t]}
        rows.append(_row(key, [_mean(values.get(t)) for t in sorted(inside)], errors.get(key)))
    tested = [i for i, row in enumerate(rows) if row.texts >= least]
    if tested:
        p_values = np.array([rows[i].p_value for i in tested])
        for i, adjusted in zip(tested, benjamini_hochberg(p_values), strict=True):
            rows[i] = rows[i]._replace(stands=bool(adjusted <= fdr))
    rows = [row for row in rows if row.listed or len(row.words) == 1]
    rows.sort(key=lambda row: (not row.stands, -abs(row.mean), row.words))
    scores = tuple(text.score for text in texts)
    order = max(text.order for text in texts)
    return Summary(tuple(rows), len(texts), scores, texts[0].kind, order, fdr, least, groups)


def _mean(values: list[float] | None) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _row(key: Name, values: list[float], error: float | None) -> Form:
    from scipy.special import stdtr, stdtrit

    x, T = np.array(values), len(values)
    mean = float(x.mean())
    spread = float(x.std(ddof=1)) if T > 1 else math.nan
    own = math.nan if error is None else error
    se, freedom = (spread / math.sqrt(T), T - 1) if T > 1 else (own, math.inf)
    half = float(stdtrit(min(freedom, 1e9), 0.975)) * se
    if se > 0:
        p_value = 2 * float(stdtr(min(freedom, 1e9), -abs(mean) / se))
    else:
        p_value = math.nan if math.isnan(se) else float(mean == 0)
    moved = x[x != 0]
    agreement = float((np.sign(moved) == np.sign(mean)).mean()) if len(moved) else math.nan
    return Form(
        key, mean, spread, mean - half, mean + half, p_value, agreement, T, len(moved), False
    )


def _form(word: str) -> str:
    """A word's surface form: without case, blanks as one space."""
    return " ".join(word.casefold().split())


def _key(words: Sequence[str]) -> Name:
    return tuple(sorted(map(_form, words)))


def _table(title: str, forms: Sequence[Form], count: int) -> list[str]:
    """Lines of a table."""
    head = ["mean", "±", "", "spread", "same sign", "texts", title]
    rows = [
        [
            f"{form.mean:+.3f}",
            "" if math.isnan(form.high) else f"{form.high - form.mean:.3f}",
            "*" if form.stands else "",
            "" if math.isnan(form.spread) else f"{form.spread:.3f}",
            "" if math.isnan(form.agreement) else f"{form.agreement:.0%}",
            f"{form.texts:,}",
            " + ".join(terms.printable(word) for word in form.words),
        ]
        for form in forms
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
    lines = [
        "  ".join([*(c.rjust(w) for c, w in zip(row, widths, strict=False)), row[-1]])
        for row in [head, *rows]
    ]
    return [*lines, f"… {count - len(forms):,} more"] if count > len(forms) else lines
