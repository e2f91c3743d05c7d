"""Where the data sets lie: a folder named by ``--data`` or the variable ``SPEXJAX_DATA``.

    hotpotqa/hotpot_*.json   drop/drop_*.json   mmlu/{dev,val,test}/SUBJECT_SPLIT.csv
    puzzles/puzzles.csv      sst2/, imdb/       (see :mod:`spexjax.experiments.data.texts`)
    cifar10/                 (see :mod:`spexjax.experiments.data.cifar10`)
    vqa/, coco/              (see :mod:`spexjax.experiments.data.coco`)

Nothing is downloaded. Each set's own module says where it comes from and reads it.
"""

import os
from pathlib import Path

from spexjax.experiments.data import cifar10, drop, hotpotqa, mmlu, riddles

VARIABLE = "SPEXJAX_DATA"


def folder(data: str | Path | None = None) -> Path:
    """The folder of data sets: the one given, or the variable's.

    Raises:
      ValueError: if neither is there.
    """
    chosen = data or os.environ.get(VARIABLE)
    if not chosen:
        raise ValueError(f"data must be named: pass --data DIR, or set {VARIABLE}.")
    return Path(chosen)


def find(data: str | Path | None, pattern: str) -> Path:
    """The file of a pattern below the folder of data sets; the shortest name if there are more.

    Official files have shorter names than cuttings of them.

    Raises:
      ValueError: if no folder is named.
      FileNotFoundError: if no file fits the pattern.
    """
    root = folder(data)
    found = sorted(root.glob(pattern), key=lambda path: (len(path.name), path.name))
    if not found:
        raise FileNotFoundError(f"{root} has no {pattern}.")
    return found[0]


def load_hotpotqa(
    data: str | Path | None = None, split: str = "dev_distractor"
) -> list[hotpotqa.Example]:
    """HotpotQA's examples; ``split`` as in the official names, such as "train" too."""
    return hotpotqa.read_hotpotqa(find(data, f"hotpotqa/hotpot_{split}*.json"))


def load_drop(data: str | Path | None = None, split: str = "dev") -> list[drop.Passage]:
    """DROP's passages; ``split`` "dev" or "train"."""
    return drop.read_drop(find(data, f"drop/drop_dataset_{split}*.json"))


def load_mmlu(
    data: str | Path | None = None, split: mmlu.Split = "test", only: tuple[str, ...] = ()
) -> list[mmlu.Question]:
    """MMLU's questions, of all subjects there or ``only`` some."""
    return mmlu.read_mmlu(folder(data) / "mmlu", split, only)


def load_riddles(data: str | Path | None = None) -> list[riddles.Riddle]:
    """The riddles."""
    return riddles.read_riddles(find(data, "puzzles/puzzles.csv"))


def load_cifar10(data: str | Path | None = None) -> cifar10.Images:
    """CIFAR-10, or a sample of it."""
    return cifar10.read_cifar10(folder(data) / "cifar10")
