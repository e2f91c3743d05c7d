"""Sets found and fitted: for each output by itself, or one support for all."""

import warnings
from collections.abc import Iterator

import jax

from spexjax.compiling import Program
from spexjax.decoding.peeling import PeelConfig
from spexjax.decoding.spex import JOINT_OUTPUTS
from spexjax.masks.design import Design
from spexjax.surrogates import cross_validation
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.surrogates.programs import programs as of_outputs
from spexjax.surrogates.proposals import TREES, Wider
from spexjax.surrogates.shared_support import fit as fit_shared
from spexjax.typing import Key


def fit(
    design: Design,
    values: Standardised,
    key: Key,
    peel: PeelConfig,
    wider: Wider | None = None,
    shared_support: bool | None = None,
) -> Fit:
    """Fits what was decoded from the coded masks, if there are any, and what ``wider`` proposes.

    Args:
      design: the masks.
      values: f there.
      key: the user's.
      peel: settings of the search.
      wider: what is proposed besides the decoded sets.
      shared_support: one support for all outputs; True for more than 64 outputs if None.
    """
    stream = jax.random.fold_in(key, TREES)
    shared = len(values.spread) > JOINT_OUTPUTS if shared_support is None else shared_support
    if shared and not values.scalar:
        if design.max_order < 2:
            warnings.warn("max_order=1 leaves no sets to find: the fit is linear.", stacklevel=5)
        return fit_shared(design, values, peel, wider, stream)
    return cross_validation.fit(design, values.values, peel, wider, stream)


def programs(
    design: Design, key: Key, peel: PeelConfig, wider: Wider | None = None
) -> Iterator[Program]:
    """What :func:`fit` will compile, each output with a support of its own."""
    return of_outputs(design, peel, wider, jax.random.fold_in(key, TREES))
