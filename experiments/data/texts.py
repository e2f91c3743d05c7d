"""Texts of many lengths: SST-2, IMDB, and a dozen that ship with the package.

A folder of data holds any of ``sst2/dev.tsv`` (GLUE's format), ``imdb/dev.tsv`` and
``imdb/test.tsv`` (Sentiment and Text, quoted as a spreadsheet does), and ``aclImdb/test/pos`` and
``…/neg`` (the official release: a file per review). None was used to train the package's model.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spexjax.models.mini.sentiment.data import read_imdb, read_sst2

LENGTHS = ((8, 15), (16, 31), (32, 63), (64, 127), (128, 255), (256, 511))
_TRIES = 200  # joined texts that may miss a group's range


class Text(NamedTuple):
    """A text and where it comes from."""

    name: str
    text: str


def group_name(low: int, high: int) -> str:
    """``8–15`` in letters that any shell takes: 8-15."""
    return f"{low}-{high}"


GROUPS = tuple(group_name(*ends) for ends in LENGTHS)


def own_texts() -> list[Text]:
    """The texts that ship with the package, written for it."""
    whole = (resources.files("spexjax.experiments.data") / "texts.txt").read_text(encoding="utf-8")
    paragraphs = [" ".join(part.split()) for part in whole.split("\n\n")]
    return [Text(f"own-{i}", text) for i, text in enumerate(paragraphs) if text]


def read_acl_imdb(folder: str | Path) -> list[Text]:
    """Reviews in ``pos`` and ``neg`` of a folder such as aclImdb/test, one a file, by name."""
    found = []
    for side in ("pos", "neg"):
        for path in sorted((Path(folder) / side).glob("*.txt")):
            text = " ".join(path.read_text(encoding="utf-8").replace("<br />", " ").split())
            found.append(Text(f"acl-{side}-{path.stem}", text))
    return found


def read_folder(data: str | Path) -> list[Text]:
    """All texts of a folder of data.

    Raises:
      FileNotFoundError: if there are none.
    """
    data = Path(data)
    found: list[Text] = []
    if (data / "sst2" / "dev.tsv").exists():
        texts = read_sst2(data / "sst2" / "dev.tsv").texts
        found += [Text(f"sst2-{i}", text) for i, text in enumerate(texts)]
    for part in ("dev", "test"):
        if (data / "imdb" / f"{part}.tsv").exists():
            texts = read_imdb(data / "imdb" / f"{part}.tsv").texts
            found += [Text(f"imdb-{part}-{i}", text) for i, text in enumerate(texts)]
    for folder in (data / "aclImdb" / "test", data / "imdb" / "aclImdb" / "test"):
        if folder.is_dir():
            found += read_acl_imdb(folder)
    if not found:
        raise FileNotFoundError(
            f"{data} has none of sst2/dev.tsv, imdb/dev.tsv, imdb/test.tsv, aclImdb/test."
        )
    return found


def of_length(
    texts: Iterable[Text],
    low: int,
    high: int,
    count: int,
    seed: int,
    length: Callable[[str], int],
) -> Iterator[Text]:
    """``count`` texts of low to high inputs, in an order drawn from the seed.

    Where single texts do not suffice, texts joined end to end make up for them.

    Args:
      texts: to choose from.
      low, high: the range of lengths, both included.
      count: how many, fewer if there are not so many.
      seed: of the order; a larger count begins with the same texts.
      length: the number of inputs that a text has.
    """
    rng = np.random.default_rng([seed, low])
    pool = sorted(texts)
    order = rng.permutation(len(pool)).tolist()
    found = 0
    for i in order:
        if found == count:
            return
        if low <= length(pool[i].text) <= high:
            found += 1
            yield pool[i]
    seen: set[str] = set()
    for _ in range(_TRIES):
        if found == count:
            return
        whole = _joined(pool, rng, low, length)
        if whole is not None and whole.name not in seen and length(whole.text) <= high:
            seen.add(whole.name)
            found += 1
            yield whole


def _joined(
    pool: list[Text], rng: np.random.Generator, low: int, length: Callable[[str], int]
) -> Text | None:
    """Two texts or more, in random order, until there are at least ``low`` inputs."""
    names: list[str] = []
    text = ""
    for i in rng.permutation(len(pool)).tolist():
        names.append(pool[i].name)
        text = f"{text} {pool[i].text}".strip()
        if len(names) > 1 and length(text) >= low:
            return Text("+".join(names), text)
    return None
