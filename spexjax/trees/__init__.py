"""Boosted trees on bits and their exact Fourier transform."""

from spexjax.trees import boosting, ensemble, fourier

__all__ = ["boosting", "ensemble", "fourier"]
