"""Configurations of the baselines; :mod:`spexjax.methods.baselines` says what each fits, and to what."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Lime:
    """Least squares of order 1 on uniform masks.

    Attributes:
      kernel: "uniform", as in the papers, or "cosine", LimeText's weights
        exp(−(100 d)²/width²)^½ of a mask at cosine distance d from 1…1.
      width: of the cosine kernel.
    """

    kernel: Literal["uniform", "cosine"] = "uniform"
    width: float = 25.0


@dataclasses.dataclass(frozen=True)
class Banzhaf:
    """Least squares of order 1 on uniform masks and their complements."""


@dataclasses.dataclass(frozen=True)
class FaithBanzhaf:
    """Least squares of order k on uniform masks.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) with two masks per set.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class Lasso:
    """L1 regression over all sets of at most k inputs, strength by cross-validation.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) whose design matrix has at most
        2^26 entries.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class KernelShap:
    """Least squares of order 1 with the Shapley kernel, exact at 1…1 and 0…0."""


@dataclasses.dataclass(frozen=True)
class FaithShapley:
    """Least squares of order k with the Shapley kernel, exact at 1…1 and 0…0.

    Attributes:
      order: k; as in :class:`FaithBanzhaf`.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class ShapleyTaylor:
    """Shapley-Taylor interactions of order k from sampled permutations.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) for which about two permutations
        are affordable.
    """

    order: int | None = None
