"""Ridge and L1 regression on arrays or matrix products; knows nothing of masks."""

from spexjax.regression.conjugate_gradients import lipschitz, ridge_solve
from spexjax.regression.fista import lasso_solve
from spexjax.regression.lasso_cv import lasso, lasso_cv
from spexjax.regression.least_squares import matmul
from spexjax.regression.linear_fit import CVFit, Fit
from spexjax.regression.proximal import proximal_gradient, proximal_l1
from spexjax.regression.ridge_cv import ridge, ridge_cv

__all__ = [
    "CVFit",
    "Fit",
    "lasso",
    "lasso_cv",
    "lasso_solve",
    "lipschitz",
    "matmul",
    "proximal_gradient",
    "proximal_l1",
    "ridge",
    "ridge_cv",
    "ridge_solve",
]
