"""GF(2) arithmetic and error-correcting codes: packed bit vectors, GF(2^m), BCH codes, decoding."""

from spexjax.codes import bch, chase, gf2, gf2m

__all__ = ["bch", "chase", "gf2", "gf2m"]
