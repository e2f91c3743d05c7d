"""What can be read of the inside of a network, one number per unit or per feature."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hidden:
    """The activations after ``layer`` layers (0: the embeddings) of one token: K = dim.

    Attributes:
      layer: from 0 to the number of layers.
      position: of the token in the masked text; 0 is [CLS], which never moves.
    """

    layer: int
    position: int = 0


@dataclass(frozen=True)
class Attention:
    """How much one head looks at each feature: K = n.

    The weights from the token at position ``query`` are summed over the tokens of a feature, or
    over its replacement where it is masked.

    Attributes:
      layer: from 0. head: from 0.
      query: position of the token that looks; 0 is [CLS], which never moves.
    """

    layer: int
    head: int
    query: int = 0
