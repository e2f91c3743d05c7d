"""Many functions explained alike, such as the rows of a table, and what holds for all of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from spexjax import interop
from spexjax.codes import gf2
from spexjax.explain import answered
from spexjax.explanation import Explanation
from spexjax.indices.interaction_values import Interactions, ranking
from spexjax.masks.design import Design
from spexjax.report import facts
from spexjax.steps import default_budget, design
from spexjax.store import Store
from spexjax.typing import ArrayLike, ValueFunction
from spexjax.values import OnDevice
from spexjax.values.games import unwrapped

if TYPE_CHECKING:
    import shap

_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Explanation]):
    """Explanations in the order of their functions, made by :func:`explain_many`.

    Attributes:
      items: the explanations.
    """

    items: tuple[Explanation, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    def __getitem__(self, which: Any) -> Any:
        """An explanation; of a slice, the collection of those in it."""
        return Explanations(self.items[which]) if isinstance(which, slice) else self.items[which]

    def output(self, k: int) -> "Explanations":
        """The explanations of output k of functions with several."""
        return Explanations(tuple(e[k] for e in self.items))

    def importance(self, index: str = "FBII", max_order: int | None = None) -> Interactions:
        """How much each set moves the answers: the mean of its magnitude over all explanations.

        mean_r |I_r(S)|, with 0 for explanations that do not list S. The global importance of
        Covert, Lundberg, Lee 2020 (mean |SHAP value|) is ``importance("SV")``. Sets of equal
        importance keep the order of their members, so that it never depends on the order of rows.

        Args:
          index, max_order: as for ``Explanation.interactions``.

        Returns:
          Interactions without errors, which ``sx.plot.bar`` and the others draw.

        Raises:
          ValueError: if there is no explanation, or they are not all of the same features, or of
            several outputs (use ``output(k)``).
        """
        if len({e.features for e in self.items}) != 1:
            raise ValueError(
                "explanations must be at least one, all of the same features; of texts, see "
                "spexjax.corpus.summarize."
            )
        found = [e.interactions(index, max_order) for e in self.items]
        packed = np.concatenate([ix.supports for ix in found])
        sets, place = gf2.unique_rows(packed)
        size = np.abs(np.concatenate([ix.values for ix in found]))
        mean = np.bincount(place, size, len(sets)) / len(found)
        bits = gf2.unpack_numpy(sets, found[0].n)
        # Small sets first, then by their members: what is equal stays in this order.
        members = np.lexsort((*(~bits.T[::-1]), bits.sum(axis=1)))
        sets, mean = sets[members], mean[members]
        order = ranking(mean)
        order = order[mean[order] > 0]
        return Interactions(
            sets[order],
            mean[order],
            found[0].n,
            f"mean |{found[0].index}|",
            found[0].max_order,
            found[0].features,
        )

    def to_shap(self, data: ArrayLike | None = None, index: str = "SV") -> "shap.Explanation":
        """``shap.Explanation`` of all rows, for ``shap.plots.beeswarm`` and others.

        See :func:`spexjax.interop.to_shap`.
        """
        return interop.to_shap(self.items, data, index)

    def __str__(self) -> str:
        """What was done, and the sets that move the answers most."""
        if not self.items:
            return "no explanations"
        calls = sum(e.calls for e in self.items)
        methods = ", ".join(sorted({e.method for e in self.items}))
        head = f"{len(self):,} explanations by {methods}, {calls:,} calls"
        if any(e.num_outputs is not None for e in self.items):
            return f"{head}; output(k) has those of one output"
        scores = np.array([float(e.faithfulness) for e in self.items])
        known = scores[~np.isnan(scores)]
        measured = (
            f"R² = {np.median(known):.3f} in the middle, {known.min():.3f} at worst"
            if known.size
            else "R² not measured"
        )
        doubtful = sum(bool(facts.caution(e)) for e in self.items)
        lines = [head, measured + (f"; {doubtful:,} should not be believed" if doubtful else "")]
        if len({e.features for e in self.items}) == 1:
            lines.append(self.importance().table(_SHOWN))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{len(self):,} explanations>"


def explain_many(
    fs: Iterable[ValueFunction | OnDevice],
    n: int | None = None,
    *,
    budget: int | None = None,
    method: Any = "auto",
    target: str | tuple[str, int] | None = None,
    max_order: int = 5,
    seed: int | jax.Array = 0,
    features: Sequence[str] | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    store: str | Path | Store | None = None,
) -> Explanations:
    """Explains functions one after the other, with the same masks where n is the same.

    Programs are compiled for the first of each size, and used for all.

    Args:
      fs: value functions, such as those of :func:`spexjax.values.tabular_rows`.
      n, budget, method, target, max_order, seed, features, chunk_size, store: as for
        :func:`explain`, and the same for all; in a store each needs a ``store_key`` of its own.
        Without a budget, each has the one that :func:`explain` would pick.
      progress: show a bar with the rate and the time that is left.

    Raises:
      ValueError, ValueFunctionError, StoreError: as :func:`explain`; a note says for which
        function.
    """
    from tqdm import tqdm

    fs = list(fs)
    made: dict[int, Design] = {}
    found = []
    for i, given in enumerate(tqdm(fs, unit="function", disable=not progress, leave=False)):
        try:
            f, size = unwrapped(given, n)
            if size not in made:
                most = default_budget(size) if budget is None else budget
                made[size] = design(
                    size,
                    budget=most,
                    method=method,
                    target=target,
                    max_order=max_order,
                    seed=seed,
                )
            found.append(answered(made[size], f, features, chunk_size, store=store))
        except Exception as error:
            error.add_note(f"This was function {i} of {len(fs)}.")
            raise
    return Explanations(tuple(found))
