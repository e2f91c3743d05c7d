"""Functions on subsets: sparse spectra, dense transforms, and lists of sets."""

from spexjax.spectra import spectrum, subsets, transforms
from spexjax.spectra.spectrum import Spectrum

__all__ = ["Spectrum", "spectrum", "subsets", "transforms"]
