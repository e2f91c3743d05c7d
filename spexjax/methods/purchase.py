"""Buying masks: which a plan asks for, their values, and the measuring of what was fitted."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax import masks, metrics, values
from spexjax.codes import gf2
from spexjax.decoding.peeling import Info
from spexjax.explanation import Explanation
from spexjax.masks import CodedDesign, Plan, shapley_kernel
from spexjax.spectra.spectrum import Spectrum
from spexjax.store.journal import Journal
from spexjax.typing import ArrayLike, Key, ValueFunction
from spexjax.values.calling import OnDevice

_INTERVAL_STREAM = 7


class Caller(NamedTuple):
    """A value function with the settings of its calls; takes packed masks."""

    f: ValueFunction | OnDevice
    n: int
    chunk_size: int = 512
    progress: bool = False
    journal: Journal | None = None
    """Values paid for before; asked first and added to."""
    join: bool = False
    """Whether the fits may use stored values that the plan did not ask for."""

    def __call__(self, packed: UInt32[np.ndarray, "N W"]) -> ArrayLike:
        return values.evaluate(self.f, packed, self.n, self.chunk_size, self.progress, self.journal)

    def others(self, packed: UInt32[np.ndarray, "N W"]) -> tuple[np.ndarray, np.ndarray] | None:
        """Stored masks not among ``packed``, and their values; None if these are not to be used."""
        if self.journal is None or not self.join:
            return None
        stored, answers = self.journal.everything()
        _, place = masks.unique_rows(np.concatenate([packed, stored]))
        fresh = place[len(packed) :] > place[: len(packed)].max()
        return stored[fresh], answers[fresh]


class Samples(NamedTuple):
    """Masks and values, as the fits want them."""

    coded: Float[np.ndarray, "N K"] | None
    """Values at the design's masks, in its order."""
    rows: UInt32[np.ndarray, "rows W"]
    """All other masks, packed."""
    values: Float[np.ndarray, "rows K"]
    held_out: Bool[np.ndarray, "rows"]
    """Masks that nothing may be fitted to until faithfulness has been measured."""
    unit: Int[np.ndarray, "rows"]
    """Rows of one unit stay in one fold of a cross-validation."""


class Purchase(NamedTuple):
    """What a plan bought."""

    n: int
    design: CodedDesign | None
    samples: Samples
    full: Float[np.ndarray, "K"]
    """f(1…1)."""
    empty: Float[np.ndarray, "K"]
    """f(0…0); NaN if the budget was one call."""
    calls: int
    scalar: bool
    """Whether f returned (N,); K is then 1."""


def buy(call: Caller, plan: Plan, key: Key, paired: bool = False) -> Purchase:
    """Asks f for the masks of a plan: 1…1, 0…0, the coded ones, then fresh uniform ones.

    The first ``plan.held_out`` uniform masks are marked as held out. ``paired``: the others come
    with their complements, as far as there are masks neither of which has been drawn.
    """
    n = call.n
    W = gf2.num_words(n)
    ends = np.stack([gf2.pack_numpy(np.full(n, keep), W) for keep in (True, False)])
    design, coded = None, np.zeros((0, W), np.uint32)
    if plan.b is not None:
        design = masks.coded_design(key, n, plan.b, plan.t, plan.groups)
        coded = np.asarray(design.packed())
    bought, place = masks.unique_rows(np.concatenate([ends[: plan.endpoints], coded]))
    fresh = plan.budget - len(bought)
    if n < 63:
        fresh = min(fresh, 2**n - len(bought))
    if paired:
        uniform, unit = _paired(key, n, fresh, bought, plan.held_out)
    else:
        uniform, unit = masks.fresh_uniform(key, n, fresh, bought), np.arange(fresh)
    asked = np.concatenate([bought, uniform])
    answers = np.asarray(call(asked), np.float32)
    joined = call.others(asked)
    scalar = answers.ndim == 1
    answers = answers.reshape(len(answers), -1)

    first = len(bought)
    in_design = place[plan.endpoints :]
    others = np.setdiff1d(np.arange(first), in_design)
    rows = np.concatenate([others, np.arange(first, len(answers))])
    drawn = np.arange(len(rows)) - len(others)
    samples = Samples(
        coded=None if design is None else answers[in_design],
        rows=np.concatenate([bought[others], uniform]),
        values=answers[rows],
        held_out=(drawn >= 0) & (drawn < plan.held_out),
        unit=np.concatenate([np.arange(len(others)), len(others) + unit]),
    )
    if joined is not None:
        samples = _append(samples, *joined)
    empty = answers[1] if plan.budget > 1 else np.full_like(answers[0], np.nan)
    return Purchase(n, design, samples, answers[0], empty, len(answers), scalar)


def _paired(
    key: Key, n: int, count: int, taken: UInt32[np.ndarray, "rows W"], single: int
) -> tuple[UInt32[np.ndarray, "count W"], Int[np.ndarray, "count"]]:
    """Fresh masks, the first ``single`` of them uniform, then pairs; a number for each pair."""
    rows = masks.fresh_uniform(key, n, min(single, count), taken)
    drawn = np.concatenate([taken, rows])
    pairs = min((count - len(rows)) // 2, shapley_kernel.pairs_left(n, drawn))
    both = shapley_kernel.paired_uniform(key, n, 2 * pairs, drawn)
    rest = count - len(rows) - len(both)
    more = masks.fresh_uniform(key, n, rest, np.concatenate([drawn, both]))
    unit = np.arange(count)
    unit[len(rows) :][: len(both)] = len(rows) + np.arange(len(both)) // 2
    return np.concatenate([rows, both, more]), unit


def _append(samples: Samples, rows: np.ndarray, answers: np.ndarray) -> Samples:
    """The samples with further rows, none of them held out."""
    return samples._replace(
        rows=np.concatenate([samples.rows, rows]),
        values=np.concatenate([samples.values, answers.reshape(len(rows), -1)]),
        held_out=np.concatenate([samples.held_out, np.zeros(len(rows), bool)]),
        unit=np.concatenate([samples.unit, samples.unit.max(initial=0) + 1 + np.arange(len(rows))]),
    )


def measured(
    bought: Purchase,
    honest: Spectrum,
    final: Spectrum,
    method: str,
    key: Key,
    info: Info | None = None,
) -> Explanation:
    """An explanation with the faithfulness of ``honest`` on the held-out masks.

    Args:
      bought: masks and values.
      honest: the surrogate fitted without the held-out masks, one per output (K, S).
      final: the surrogate to return, (K, S).
      method: what was done.
      key: seeds the bootstrap of the interval.
      info: diagnostics of a search.
    """
    held_out = bought.samples.held_out
    truth = bought.samples.values[held_out]
    if len(truth) > 1:
        guess = honest.predict_packed(bought.samples.rows[held_out])
        faithfulness = metrics.r2(truth, guess)
        interval = metrics.r2_interval(jax.random.fold_in(key, _INTERVAL_STREAM), truth, guess)
    else:
        faithfulness = jnp.full(bought.full.shape, jnp.nan)
        interval = (faithfulness, faithfulness)

    def output(x):
        return x[0] if bought.scalar else x

    return Explanation(
        spectrum=final[0] if bought.scalar else final,
        n=bought.n,
        method=method,
        calls=bought.calls,
        full=output(bought.full),
        empty=output(bought.empty),
        faithfulness=output(faithfulness),
        faithfulness_interval=(output(interval[0]), output(interval[1])),
        info=info,
    )
