"""Value functions that worker processes can import and make."""

import os
import time

import numpy as np

N = 24


class Planted:
    """A function that notes whom it was asked by for which masks, before it answers."""

    n, store_key, description = N, "planted", "a planted function"
    words = tuple(f"w{i}" for i in range(N))

    def __init__(self, folder=None, seconds=0.0):
        self.folder, self.seconds = folder, seconds

    def __call__(self, masks):
        if self.folder is not None:
            with open(f"{self.folder}/calls-{os.getpid()}", "ab", 0) as log:
                log.write(np.packbits(masks, axis=1).tobytes())
        time.sleep(self.seconds * len(masks))
        return values_of(masks)


class Broken(Planted):
    """Fails at masks that keep the first three features."""

    def __call__(self, masks):
        if masks[:, :3].all(axis=1).any():
            raise OSError("the cable is loose")
        return super().__call__(masks)


class NotFinite(Planted):
    """Has no number for masks that keep the first three features."""

    def __call__(self, masks):
        return np.where(masks[:, :3].all(axis=1), np.nan, super().__call__(masks))


def values_of(masks):
    signs = 1.0 - 2.0 * masks
    return signs @ np.arange(N) / 4 + 3.0 * signs[:, 1] * signs[:, 5]


def vector():
    return lambda masks: np.stack([values_of(masks), masks.sum(axis=1)], axis=1)


def nothing():
    raise ImportError("no such model")


def ends():
    """Ends the process that asks it."""
    return lambda masks: os._exit(1)


def calls(folder):
    """The masks that were asked for, (calls, N / 8), by worker process."""
    return {
        int(path.name.removeprefix("calls-")): np.fromfile(path, np.uint8).reshape(-1, N // 8)
        for path in folder.glob("calls-*")
    }


def some_masks(rows, seed=0):
    masks = np.random.default_rng(seed).random((rows, N)) < 0.5
    assert len(np.unique(masks, axis=0)) == rows
    return masks
