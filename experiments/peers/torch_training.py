"""A perceptron trained by a PyTorch loop, as data attribution is done without ``vmap``."""

from importlib.util import find_spec

import numpy as np
from jaxtyping import Bool, Float, Int


def available() -> bool:
    """Whether PyTorch is installed (nothing is imported)."""
    return find_spec("torch") is not None


def trained(
    x: Float[np.ndarray, "points features"],
    y: Int[np.ndarray, "points"],
    masks: Bool[np.ndarray, "N points"],
    hidden: int,
    classes: int,
    steps: int,
    batch: int | None,
    rate: float,
    decay: float,
) -> list[Float[np.ndarray, "points classes"]]:
    """Logits of all points by models trained on each mask's points alone, one after another.

    Only the points that a mask keeps are touched, so a step is as small as it can be. With a batch
    size, a step has as many of them as would be kept of one.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so small a model more are slower
    all_x, all_y = torch.tensor(x), torch.tensor(y.astype(np.int64))
    found = []
    for mask in masks:
        torch.manual_seed(0)
        kept = torch.from_numpy(np.flatnonzero(mask))
        model = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, classes)
        )
        optimizer = torch.optim.Adam(model.parameters(), rate, weight_decay=decay)
        part_x, part_y = all_x[kept], all_y[kept]
        size = len(kept) if batch is None else max(batch * len(kept) // len(x), 1)
        for step in range(steps):
            if batch is None:
                b_x, b_y = part_x, part_y
            else:
                start = step * size % max(len(kept) - size + 1, 1)
                b_x, b_y = part_x[start : start + size], part_y[start : start + size]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(b_x), b_y).backward()
            optimizer.step()
        with torch.no_grad():
            found.append(model(all_x).numpy())
    torch.set_num_threads(threads)
    return found
