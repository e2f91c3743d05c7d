"""What ``explain`` returns: the spectrum, how far to trust it, and enough to do it again."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from spexjax.codes import gf2
from spexjax.decoding.peeling import Info
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike

_FORMAT, _VERSION = "spexjax.explanation", 1
_LARGEST_FILE = 1 << 30
_LONGEST_NAME = 1000
_FLOAT_MAX = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The sparse spectrum of a value function and how it was found.

    Attributes:
      spectrum: the Fourier coefficients; leading axis K for a function with K outputs.
      n: number of features.
      method: what was done ("exact", "spex", "linear").
      calls: masks that f was asked for.
      full, empty: f(1…1) and f(0…0), () or (K,).
      faithfulness: R² on masks that nothing had been fitted to, () or (K,); 1 for "exact", NaN
        where the budget left fewer than two.
      faithfulness_interval: the ends of a nominal 95 % interval for it.
      features: n labels, by position.
      budget, seed, max_order: as given.
      info: diagnostics of the search, if there was one.
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

    def labelled(
        self, features: Sequence[str] | None, seed: int | jax.Array, budget: int, max_order: int
    ) -> "Explanation":
        """A copy that knows how it was asked for."""
        labels = [f"x{i}" for i in range(self.n)] if features is None else features
        if isinstance(seed, jax.Array):
            saved: int | tuple[int, ...] = tuple(np.asarray(jax.random.key_data(seed)).tolist())
        else:
            saved = int(seed)
        return dataclasses.replace(
            self,
            features=tuple(str(label) for label in labels),
            seed=saved,
            budget=budget,
            max_order=max_order,
        )

    @property
    def num_outputs(self) -> int | None:
        """K, or None for a scalar function."""
        return self.spectrum.num_outputs

    def predict(self, masks: Bool[ArrayLike, "N n"]) -> Float[Array, "N *K"]:
        """The surrogate's values at masks.

        Raises:
          ValueError: if masks is not bool with n columns.
        """
        masks = np.asarray(masks)
        if masks.ndim != 2 or masks.shape[1] != self.n or masks.dtype != bool:
            raise ValueError(
                f"masks must be bool with shape (N, {self.n}), got {masks.dtype} {masks.shape}."
            )
        return self.spectrum.predict(masks)

    def interactions(self, index: str = "FBII", max_order: int | None = None):
        """The interaction index of every set, sorted by magnitude (``spexjax.indices``).

        Args:
          index: a name such as "FBII", "FSII", "STII", "SII", "BII", "SV", "BV", "Moebius".
          max_order: the order ℓ of FBII, FSII, STII and k-SII, and a cut for the others;
            ``max_order`` of the explanation if None.
        """
        from spexjax.indices.of_spectrum import interactions

        order = min(self.max_order, self.n) if max_order is None else max_order
        return interactions(self.spectrum, index, order, self.features)

    def to_shapiq(self, index: str = "FBII", max_order: int | None = None):
        """``shapiq.InteractionValues``; see :func:`spexjax.interop.to_shapiq`."""
        from spexjax.interop import to_shapiq

        return to_shapiq(self, index, max_order)

    def to_shap(self):
        """``shap.Explanation`` of Shapley values; see :func:`spexjax.interop.to_shap`."""
        from spexjax.interop import to_shap

        return to_shap(self)

    def __getitem__(self, output: int) -> "Explanation":
        """The explanation of one output of a vector-valued function."""
        if self.num_outputs is None:
            raise ValueError("this explanation has one output; there is nothing to index.")
        low, high = self.faithfulness_interval
        return dataclasses.replace(
            self,
            spectrum=self.spectrum[output],
            full=self.full[output],
            empty=self.empty[output],
            faithfulness=self.faithfulness[output],
            faithfulness_interval=(low[output], high[output]),
        )

    def save(self, path: str | Path) -> None:
        """Writes the explanation as JSON (without ``info``)."""
        Path(path).write_text(json.dumps(self._to_json()), encoding="utf-8")

    def to_html(
        self,
        path: str | Path,
        text: str | None = None,
        spans: Sequence[tuple[int, int]] | None = None,
        model: str | None = None,
        *,
        index: str = "FBII",
        max_order: int | None = None,
    ) -> None:
        """Writes a self-contained page to explore the explanation in a browser.

        Args:
          path: the file.
          text: the text that was explained, to show it with its punctuation; else the features'
            names are listed.
          spans: the characters [start, end) of each feature in ``text``.
          model: what was explained, such as "my classifier, logit of POSITIVE".
          index, max_order: the interaction index, as in :meth:`interactions`.

        Raises:
          ValueError: if the function has several outputs (use ``e[i].to_html``), or text, spans
            and features do not fit together.
        """
        from spexjax.report.page import render

        page = render(self, text, spans, model, index=index, max_order=max_order)
        Path(path).write_text(page, encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> "Explanation":
        """Reads what :meth:`save` wrote.

        Raises:
          ValueError: if the file is not an explanation or is inconsistent.
        """
        path = Path(path)
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError(f"{path} is larger than {_LARGEST_FILE} bytes.")
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}.") from error
        try:
            return _from_json(raw)
        except (KeyError, TypeError, OverflowError, AttributeError, IndexError) as error:
            raise ValueError(f"{path} is not an explanation: {error!r}.") from error

    def _to_json(self) -> dict[str, Any]:
        single = self.num_outputs is None
        shared = self.spectrum.supports.ndim == 2
        outputs = (
            [self.spectrum] if shared else [self.spectrum[i] for i in range(self.num_outputs or 0)]
        )
        terms = []
        for part in outputs:
            valid = np.asarray(part.valid)
            bits = gf2.unpack_numpy(np.asarray(part.supports)[valid], self.n)
            terms.append(
                {
                    "supports": [np.flatnonzero(row).tolist() for row in bits],
                    "coefficients": np.asarray(part.coefficients)[..., valid].tolist(),
                }
            )
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "n": self.n,
            "method": self.method,
            "calls": self.calls,
            "budget": self.budget,
            "seed": self.seed,
            "max_order": self.max_order,
            "features": list(self.features),
            "outputs": "one" if single else "shared" if shared else "own",
            "terms": terms,
            "full": _numbers(self.full),
            "empty": _numbers(self.empty),
            "faithfulness": _numbers(self.faithfulness),
            "faithfulness_interval": [_numbers(end) for end in self.faithfulness_interval],
        }


def _numbers(x: ArrayLike) -> Any:
    """JSON has no NaN or infinity: they become null and strings."""

    def plain(v: float) -> Any:
        return None if math.isnan(v) else v if math.isfinite(v) else str(v)

    flat = np.asarray(x, np.float64)
    return plain(float(flat)) if flat.ndim == 0 else [plain(v) for v in flat.tolist()]


def _array(x: Any, K: int | None) -> np.ndarray:
    """The inverse of :func:`_numbers`, for one output (K None) or K of them."""

    def number(v: Any) -> float:
        if v is None or v in ("inf", "-inf"):
            return math.nan if v is None else float(v)
        return _real(v)

    if isinstance(x, list) != (K is not None) or (K is not None and len(x) != K):
        raise ValueError(f"a number per output was expected, got {str(x)[:50]}.")
    return np.asarray([number(v) for v in x] if K is not None else number(x), np.float32)


def _real(v: Any) -> float:
    if type(v) not in (int, float) or not abs(v) <= _FLOAT_MAX:
        raise ValueError(f"a finite number was expected, got {str(v)[:50]}.")
    return float(v)


def _count(name: str, v: Any, least: int = 0) -> int:
    if type(v) is not int or not least <= v < 2**63:
        raise ValueError(f"{name} must be an int from {least}, got {str(v)[:50]}.")
    return v


def _seed(v: Any) -> int | tuple[int, ...]:
    if isinstance(v, list):
        return tuple(_count("seed", s) for s in v)
    return _count("seed", v, -(2**63))


def _from_json(raw: dict[str, Any]) -> Explanation:
    if raw["format"] != _FORMAT:
        raise ValueError(f"format must be {_FORMAT!r}, got {str(raw['format'])[:50]!r}.")
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']!r} is unknown; this library reads {_VERSION}.")
    n, features, method = _count("n", raw["n"], 1), raw["features"], raw["method"]
    if not isinstance(features, list) or not all(isinstance(label, str) for label in features):
        raise ValueError("features must be a list of texts.")
    if len(features) != n:
        raise ValueError(f"n must be the number of features, got {n} and {len(features)}.")
    if not isinstance(method, str) or len(method) > _LONGEST_NAME:
        raise ValueError("method must be a name.")
    if raw["outputs"] not in ("one", "shared", "own"):
        raise ValueError(f"outputs must be 'one', 'shared' or 'own', got {raw['outputs']!r}.")
    parts = [_terms(part, n, raw["outputs"] == "shared") for part in _list(raw["terms"])]
    if not parts or (raw["outputs"] != "own" and len(parts) != 1):
        raise ValueError(f"terms must hold one entry per support, got {len(parts)}.")
    found = spectrum.stack(parts) if raw["outputs"] == "own" else parts[0]
    K = found.num_outputs
    low, high = _list(raw["faithfulness_interval"])
    return Explanation(
        spectrum=found,
        n=n,
        method=method,
        calls=_count("calls", raw["calls"]),
        full=_array(raw["full"], K),
        empty=_array(raw["empty"], K),
        faithfulness=_array(raw["faithfulness"], K),
        faithfulness_interval=(_array(low, K), _array(high, K)),
        features=tuple(features),
        budget=_count("budget", raw["budget"]),
        seed=_seed(raw["seed"]),
        max_order=_count("max_order", raw["max_order"], 1),
    )


def _terms(part: Any, n: int, shared: bool) -> Spectrum:
    """The spectrum of one entry of ``terms``."""
    supports = _list(part["supports"])
    if len(supports) * n > _LARGEST_FILE:
        raise ValueError(f"{len(supports)} supports of {n} features are too many.")
    bits = np.zeros((len(supports), n), bool)
    for row, members in zip(bits, supports, strict=True):
        if not all(type(i) is int and 0 <= i < n for i in _list(members)):
            raise ValueError(f"a support must list features below {n}, got {str(members)[:50]}.")
        row[members] = True
        if row.sum() != len(members):
            raise ValueError(f"a support names a feature twice: {str(members)[:50]}.")
    packed = gf2.pack_numpy(bits, gf2.num_words(n))
    if len(np.unique(packed, axis=0)) != len(packed):
        raise ValueError("a support occurs twice.")
    rows = _list(part["coefficients"]) if shared else [part["coefficients"]]
    if not rows or any(len(_list(row)) != len(bits) for row in rows):
        raise ValueError("coefficients must be one number per support and output.")
    table = np.asarray([[_real(v) for v in row] for row in rows], np.float32)
    table = table.reshape(len(rows), len(bits))
    return spectrum.from_terms(packed, table if shared else table[0], n)


def _list(x: Any) -> list[Any]:
    if not isinstance(x, list):
        raise ValueError(f"a list was expected, got {str(x)[:50]}.")
    return x
