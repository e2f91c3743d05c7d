"""A part of a language model, and where the parts that are features stand in a mask."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int

from spexjax.models.llama.model import LlamaConfig
from spexjax.models.text.masking import bucket
from spexjax.typing import ArrayLike

Kind = Literal["heads", "neurons", "mlps", "layers", "states", "directions"]
_LETTER = {"heads": "H", "neurons": "N", "states": "@", "directions": "D"}


class Component(NamedTuple):
    """A part of the model.

    Attributes:
      kind: "heads"; "neurons", hidden units of the gated layer; "mlps", the whole gated layer;
        "layers", with their heads; "states", the residual stream before a layer at one token; or
        "directions" of it.
      layer: from 0.
      number: of the head, the neuron, the token of the prompt, or the direction; 0 otherwise.
    """

    kind: Kind
    layer: int
    number: int = 0

    def __str__(self) -> str:
        if self.kind == "layers":
            return f"L{self.layer}"
        if self.kind == "mlps":
            return f"L{self.layer} MLP"
        return f"L{self.layer} {_LETTER[self.kind]}{self.number}"


def chosen_components(
    config: LlamaConfig,
    components: Kind | Sequence[Kind] | Sequence[Component],
    layers: Sequence[int] | None,
    prompts: Sequence[int],
    directions: tuple[Sequence[int], Any] | None,
) -> tuple[Component, ...]:
    """The components that are features, checked."""
    c = config
    if isinstance(components, str):
        components = (components,)  # type: ignore[assignment]
    chosen = tuple(range(c.n_layers) if layers is None else layers)
    if not chosen or not set(chosen) <= set(range(c.n_layers)) or len(set(chosen)) < len(chosen):
        raise ValueError(f"layers must be different ones of 0 to {c.n_layers - 1}, got {chosen}.")
    counts = {
        "heads": c.n_heads,
        "neurons": c.hidden_dim,
        "mlps": 1,
        "layers": 1,
        "states": prompts[0],
    }
    found: list[Component] = []
    for one in components:
        if isinstance(one, Component):
            found.append(one)
        elif one == "directions":
            if directions is None:
                raise ValueError("components='directions' needs directions=(layers, vectors).")
            found += [Component("directions", int(at), i) for i, at in enumerate(directions[0])]
        elif one in counts:
            found += [Component(one, at, i) for at in chosen for i in range(counts[one])]
        else:
            raise ValueError(f"components must be some of {get_args(Kind)}, got {one!r}.")
    if any(one.kind == "states" for one in found) and len(set(prompts)) > 1:
        raise ValueError("components='states' needs prompts of the same number of tokens.")
    for one in found:
        count = counts.get(one.kind, len(directions[0]) if directions is not None else 0)
        if not (0 <= one.layer < c.n_layers and 0 <= one.number < count):
            raise ValueError(f"the model has no component {one}.")
    if not found or len(set(found)) < len(found):
        raise ValueError("components must be different ones, at least one.")
    return tuple(found)


class Columns(NamedTuple):
    """The components of one kind among the features, padded: layer, number, column of the mask."""

    layer: Int[ArrayLike, "K"]
    number: Int[ArrayLike, "K"]
    column: Int[ArrayLike, "K"]


def columns_of(components: Sequence[Component], n_layers: int) -> dict[str, Columns]:
    """Where each kind's components stand in a mask; padding is in no layer."""
    found: dict[str, Columns] = {}
    for kind in dict.fromkeys(c.kind for c in components):
        of = [(c.layer, c.number, i) for i, c in enumerate(components) if c.kind == kind]
        of += [(n_layers, 0, 0)] * (bucket(len(of), least=1) - len(of))
        found[kind] = Columns(*np.array(of, np.int32).T)
    return found
