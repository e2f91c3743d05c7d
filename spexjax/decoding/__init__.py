"""From the values of a coded design to a spectrum: bins, peeling, and the whole search."""

from spexjax.decoding import bins, peeling, spex

__all__ = ["bins", "peeling", "spex"]
