"""Ridge and L1 regression on arrays or matrix products; knows nothing of masks."""

from spexjax.regression.cross_validated import CVFit, Fit, lasso, lasso_cv, ridge, ridge_cv
from spexjax.regression.least_squares import matmul

__all__ = ["CVFit", "Fit", "lasso", "lasso_cv", "matmul", "ridge", "ridge_cv"]
