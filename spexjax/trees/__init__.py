"""Boosted trees on bits and their exact Fourier transform.

``settings`` are what may be asked for, ``growing`` grows one tree, ``boosting`` an ensemble for all
folds and rates, ``ensemble`` the mean of several; ``fourier`` reads the transform off, and
``lightgbm`` does it for LightGBM's trees. May import spectra, codes and typing.
"""

from spexjax.trees import boosting, ensemble, fourier

__all__ = ["boosting", "ensemble", "fourier"]
