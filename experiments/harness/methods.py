"""The methods compared: what ``explain`` is asked for, and how each is drawn; the one registry."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from spexjax.methods.baselines import (
    Banzhaf,
    FaithBanzhaf,
    FaithShapley,
    KernelShap,
    Lasso,
    Lime,
    ShapleyTaylor,
)
from spexjax.methods.proxyspex import ProxySpex
from spexjax.methods.spex import Spex
from spexjax.methods.targeted import Targeted
from spexjax.plot import style


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
      config: what ``explain`` is given; None if it is somebody else's, or no surrogate at all.
      colour, marker: of its lines; told apart with any colour vision, and by the markers (after
        Okabe and Ito 2008).
      order: of all sets that it fits, if it does.
      sparse: L1 may have more sets than masks; least squares has half as many at most.
      needs: packages of the extra ``peers`` that it cannot do without.
    """

    config: Any
    colour: str
    marker: str
    order: int = 1
    sparse: bool = False
    needs: tuple[str, ...] = ()

    def installed(self) -> bool:
        """Whether what it needs is there (nothing is imported)."""
        return all(find_spec(package) is not None for package in self.needs)


METHODS = {
    "spex": Method(Spex(), style.POSITIVE, "o"),
    "spex-hard": Method(Spex(decoder="hard"), "#79b4e3", "v"),
    "proxyspex": Method("proxyspex", "#0f766e", "D"),
    "auto": Method("auto", style.INK, "*"),
    "linear": Method("linear", "#8a6d3b", "<"),
    "lime": Method(Lime(), style.NEGATIVE, "s"),
    "banzhaf": Method(Banzhaf(), "#d9a300", "^"),
    "kernelshap": Method(KernelShap(), "#b0578d", "P"),
    "target-sv": Method(Targeted("SV"), "#c2410c", "o"),
    "lasso": Method("lasso", "#7a4fbf", "x", sparse=True),
    "lasso-1": Method(Lasso(1), "#c05621", "v", 1, True),
    "lasso-2": Method(Lasso(2), "#7a4fbf", "X", 2, True),
    "lasso-3": Method(Lasso(3), "#a98fd6", "X", 3, True),
    "faith-banzhaf-2": Method(FaithBanzhaf(2), "#6a737d", "h", 2),
    "faith-banzhaf-3": Method(FaithBanzhaf(3), "#9aa3ad", "H", 3),
    "faith-shapley-2": Method(FaithShapley(2), "#b0578d", "p", 2),
    "faith-shapley-3": Method(FaithShapley(3), "#d49bbd", "p", 3),
    "shapley-taylor-2": Method(ShapleyTaylor(2), "#4d7c0f", "d", 2),
    "shapley-taylor-3": Method(ShapleyTaylor(3), "#8fb35a", "d", 3),
    "atp": Method(None, "#d9a300", "p"),
    "magnitude": Method(None, "#6a737d", "^"),
    "random": Method(None, style.MUTED, "."),
    "proxyspex-paper": Method(
        ProxySpex(recipe="paper", proxy="lightgbm"), "#5fa8a0", "D", needs=("lightgbm",)
    ),
    "shapiq SPEX": Method(None, "#79b4e3", ">", needs=("shapiq", "sparse_transform")),
    "shapiq ProxySPEX": Method(None, "#8a6d3b", ">", needs=("shapiq", "lightgbm")),
}
"""By name; a number at its end is the order of all sets fitted."""

EXPLAINERS = tuple(name for name, method in METHODS.items() if method.config is not None)
"""Those that ``explain`` does."""
