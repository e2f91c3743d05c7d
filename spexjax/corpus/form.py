"""What is known of a word, or of a set of words, over many texts."""

from typing import NamedTuple

Name = tuple[str, ...]


class Form(NamedTuple):
    """A word, or a set of words, over all texts that have it.

    Attributes:
      words: the surface forms, without case; sorted.
      mean: of its values, one from each text that has all its words: 0 where the text's
        explanation does not list the set, the mean of those listed where words are repeated.
      spread: their standard deviation, over texts; NaN of one text.
      low, high: ends of the 95 % interval of the mean: over texts by Student's t; of one text
        from its own standard error. NaN where that is not known.
      p_value: of a mean of 0, two-sided; NaN where it is not known.
      agreement: the share of its values, those that are not 0, that have the sign of the mean.
      texts: how many have it.
      listed: in how many its value is not 0.
      stands: whether the mean is not 0, at the summary's false discovery rate.
    """

    words: Name
    mean: float
    spread: float
    low: float
    high: float
    p_value: float
    agreement: float
    texts: int
    listed: int
    stands: bool
