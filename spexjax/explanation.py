"""What ``explain`` returns: the spectrum, how far to trust it, and enough to do it again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float64

from spexjax import explanation_json, interop, report
from spexjax.codes import gf2
from spexjax.decoding.peeling import Info
from spexjax.indices.interaction_values import Interactions
from spexjax.indices.of_spectrum import interactions
from spexjax.indices.target import Target
from spexjax.inference import functionals
from spexjax.inference.errors import Errors
from spexjax.inference.estimates import Estimates
from spexjax.inference.evidence import Evidence
from spexjax.inference.flags import Flag, flags
from spexjax.inference.targets import of_target
from spexjax.report.in_words import sentences
from spexjax.spectra.spectrum import Spectrum, predict_on_host
from spexjax.spectra.subsets import packed_sets
from spexjax.typing import ArrayLike

if TYPE_CHECKING:
    import shap
    import shapiq


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The sparse spectrum of a value function and how it was found.

    ``print(e)`` shows the main facts and the strongest sets, a notebook the features too.

    Attributes:
      spectrum: the Fourier coefficients, float32; leading axis K for a function with K outputs.
      n: number of features.
      method: what was done ("exact", "spex", "linear").
      calls: masks that f was asked for.
      full, empty: f(1…1) and f(0…0), float64 () or (K,).
      faithfulness: R² on masks that nothing had been fitted to, () or (K,); where all
        masks were asked for, on all of them; NaN where the budget left fewer than two.
      faithfulness_interval: the ends of a nominal 95 % interval for it.
      features: n labels, by position.
      budget, seed, max_order: as given.
      info: diagnostics of the search, if there was one.
      level: F(∅) in double precision, float64 () or (K,), since f may be large where its effects
        are small; the spectrum holds it rounded. None takes the spectrum's.
      evidence: what standard errors, intervals and tests are made of (:mod:`spexjax.inference`);
        None where too few masks were uniform, or all were asked for.
      target: the index that the masks were chosen for, if any: what ``interactions`` of it gives.
      passage: the text that was explained, where the value function had one.
      data: the value of each feature in the row of a table, where there was one; pictures show it
        beside the name.
    """

    spectrum: Spectrum
    n: int
    method: str
    calls: int
    full: ArrayLike
    empty: ArrayLike
    faithfulness: ArrayLike
    faithfulness_interval: tuple[ArrayLike, ArrayLike]
    features: tuple[str, ...] = ()
    budget: int = 0
    seed: int | tuple[int, ...] = 0
    max_order: int = 5
    info: Info | None = None
    level: ArrayLike | None = None
    evidence: Evidence | None = None
    target: Target | None = None
    passage: report.Passage | None = None
    data: tuple[float | str, ...] | None = None

    def __post_init__(self) -> None:
        single = _level(self.spectrum)
        level = np.asarray(single if self.level is None else self.level, np.float64)
        with np.errstate(over="ignore"):  # F(∅) may be beyond float32, and is infinite there
            fits = level.shape == single.shape and np.allclose(
                level.astype(np.float32), single, rtol=1e-6, atol=1e-6 * _largest(self.spectrum)
            )
        if not fits:
            raise ValueError(
                f"level must be the spectrum's coefficient on the empty set, {single}, in double "
                f"precision, got {level}; pass level=None with another spectrum."
            )
        for name, value in (("level", level), ("full", self.full), ("empty", self.empty)):
            object.__setattr__(self, name, np.asarray(value, np.float64)[()])

    @property
    def num_outputs(self) -> int | None:
        """K, or None for a scalar function."""
        return self.spectrum.num_outputs

    def predict(self, masks: Bool[ArrayLike, "N n"]) -> Float64[np.ndarray, "N *K"]:
        """The surrogate's values at masks, on the host, in float64.

        Raises:
          ValueError: if masks is not bool with n columns.
        """
        masks = np.asarray(masks)
        if masks.ndim != 2 or masks.shape[1] != self.n or masks.dtype != bool:
            raise ValueError(
                f"masks must be bool with shape (N, {self.n}), got {masks.dtype} {masks.shape}."
            )
        packed = gf2.pack_numpy(masks, self.spectrum.supports.shape[-1])
        return predict_on_host(_without_level(self.spectrum), packed) + np.asarray(self.level)

    def interactions(self, index: str = "FBII", max_order: int | None = None) -> Interactions:
        """The interaction index of every set, sorted by magnitude (``spexjax.indices``).

        Args:
          index: a name such as "FBII", "FSII", "STII", "SII", "BII", "SV", "BV", "Moebius".
          max_order: the order ℓ of FBII, FSII, STII and k-SII, and a cut for the others;
            ``max_order`` of the explanation if None, but the target's own order for its index.

        Raises:
          ValueError: if the function has several outputs (use ``e[i].interactions``), there is no
            such index, or too many subsets would have to be enumerated.
        """
        if self.num_outputs is not None:
            raise ValueError(
                f"interactions are of one output and this explanation has {self.num_outputs}: "
                "use e[i].interactions(…)."
            )
        if self.target is not None and self.target.answers(index, max_order):
            found = of_target(self.target, self.n, self.features)
            return dataclasses.replace(found, data=self.data or ())
        order = min(self.max_order, self.n) if max_order is None else max_order
        level = float(np.asarray(self.level))
        found = interactions(self.spectrum, index, order, self.features, level=level)
        return dataclasses.replace(found, errors=Errors(self), data=self.data or ())

    def coefficients(self, sets: Sequence[Sequence[int]]) -> Estimates:
        """F(k) of f for any sets of features, in the surrogate or not, with standard errors.

        Args:
          sets: the positions of each set's members.

        Returns:
          :class:`~spexjax.inference.estimates.Estimates`, in the order of ``sets``.

        Raises:
          ValueError: if the function has several outputs (use ``e[i].coefficients``), or a set
            names a feature twice or one that is not there.
        """
        if self.num_outputs is not None:
            raise ValueError("coefficients are of one output: use e[i].coefficients(…).")
        return functionals.effects(self, packed_sets(sets, self.n))

    def flags(self, index: str = "FBII", max_order: int | None = None) -> tuple[Flag, ...]:
        """What one should know before believing this; see :func:`spexjax.inference.flags`."""
        return flags(self, index, max_order)

    def to_shapiq(
        self, index: str = "FBII", max_order: int | None = None
    ) -> "shapiq.InteractionValues":
        """``shapiq.InteractionValues``; see :func:`spexjax.interop.to_shapiq`."""
        return interop.to_shapiq(self, index, max_order)

    def to_shap(self, data: ArrayLike | None = None, index: str = "SV") -> "shap.Explanation":
        """``shap.Explanation`` of Shapley values; see :func:`spexjax.interop.to_shap`."""
        return interop.to_shap(self, data, index)

    def __getitem__(self, output: int) -> "Explanation":
        """The explanation of one output of a vector-valued function."""
        if self.num_outputs is None:
            raise ValueError("this explanation has one output; there is nothing to index.")
        low, high = self.faithfulness_interval
        info = self.info
        if info is not None:  # of a shared support there is one search for all outputs
            info = jax.tree.map(lambda x: x[output if len(x) > 1 else 0], info)
        return dataclasses.replace(
            self,
            info=info,
            full=self.full[output],
            empty=self.empty[output],
            level=np.asarray(self.level)[output],
            evidence=None if self.evidence is None else self.evidence[output],
            target=None if self.target is None else self.target[output],
            spectrum=self.spectrum[output],
            faithfulness=self.faithfulness[output],
            faithfulness_interval=(low[output], high[output]),
        )

    def summary(self, index: str = "FBII", max_order: int | None = None, fdr: float = 0.1) -> str:
        """Three sentences: how far the answer moved, what moved it, and how sure that is.

        Words and sets are named only where their values are exact, or stand at the false discovery
        rate with a 95 % interval on one side of 0 (:mod:`spexjax.report.in_words`).

        Raises:
          ValueError: if the function has several outputs (use ``e[i].summary()``).
        """
        return " ".join(sentences(self, index, max_order, fdr))

    def __str__(self) -> str:
        return report.summary(self)

    def __repr__(self) -> str:
        return report.line(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the text, or the features, to point at and to mask."""
        return report.cell(self, self.passage)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What it shows where no HTML can be: what ``print`` does."""
        printer.text(str(self))

    def to_html(
        self,
        path: str | Path,
        text: str | None = None,
        spans: Sequence[tuple[int, int]] | None = None,
        model: str | None = None,
        *,
        index: str = "FBII",
        max_order: int | None = None,
        fdr: float = 0.1,
        picture: report.Picture | None = None,
    ) -> None:
        """Writes a self-contained page to explore the explanation in a browser.

        Args:
          path: the file.
          text: the text that was explained, to show it with its punctuation; ``passage``'s if
            None. Where there is neither, the features' names are listed; components of a
            transformer (:func:`spexjax.plot.components`) stand in their layers.
          spans: the characters [start, end) of each feature in ``text``.
          model: what was explained, such as "my classifier, logit of POSITIVE"; ``passage``'s if
            None.
          index, max_order: the interaction index, as in :meth:`interactions`.
          fdr: the false discovery rate at which sets stand (``Interactions.stands``).
          picture: the image that was explained and its cells, instead of a text.

        Raises:
          ValueError: if the function has several outputs (use ``e[i].to_html``), or text, spans
            or picture and features do not fit together.
        """
        if self.passage is not None and picture is None:
            model = self.passage.model if model is None else model
            if text is None and spans is None:
                text, spans = self.passage.text, self.passage.spans
        page = report.render(
            self, text, spans, model, index=index, max_order=max_order, fdr=fdr, picture=picture
        )
        Path(path).write_text(page, encoding="utf-8")

    def save(self, path: str | Path) -> None:
        """Writes the explanation as JSON (without ``info``)."""
        explanation_json.save(self, path)

    @staticmethod
    def load(path: str | Path) -> "Explanation":
        """Reads what :meth:`save` wrote.

        Raises:
          ValueError: if the file is not an explanation or is inconsistent.
        """
        return Explanation(**explanation_json.load(path))


def _level(spectrum: Spectrum) -> np.ndarray:
    """The coefficient on the empty set, 0 if there is none, float64 () or (K,)."""
    empty = np.asarray(spectrum.valid) & ~np.asarray(spectrum.supports).any(axis=-1)
    return np.sum(np.asarray(spectrum.coefficients, np.float64), axis=-1, where=empty)


def _largest(spectrum: Spectrum) -> float:
    """The largest magnitude of a finite coefficient."""
    size = np.abs(np.asarray(spectrum.coefficients, np.float64))
    return float(size.max(initial=0.0, where=np.isfinite(size)))


def _without_level(spectrum: Spectrum) -> Spectrum:
    """The spectrum with 0 on the empty set."""
    effects = np.asarray(spectrum.supports).any(axis=-1)
    F = np.where(effects, np.asarray(spectrum.coefficients), np.float32(0))
    return dataclasses.replace(spectrum, coefficients=jnp.asarray(F))
