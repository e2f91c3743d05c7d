"""CIFAR-10's test photographs under an image classifier as a task; a group is a grid.

Need ``--data`` (see :mod:`spexjax.experiments.data.cifar10`) and ``--model``: a ViT classifier,
such as :mod:`spexjax.experiments.tasks.cifar10_training` makes. The inputs are cells of a grid,
blurred where they are masked; the value is the log-odds of the class that the model predicts.
Nobody has marked which cells support it.
"""

from collections.abc import Iterator

import numpy as np

from spexjax.experiments.data import datasets
from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.models.values.image_class import image_value
from spexjax.models.vit.classifier import load_image_classifier

GROUPS = ("8x8", "4x4")


def items(config: TaskConfig) -> Iterator[Item]:
    """``per_group`` photographs for every grid, in an order that the seed shuffles.

    Raises:
      ValueError: if no model is named.
    """
    if config.model is None:
        raise ValueError(
            "model must be named: pass --model DIR_OR_ID, such as the folder that "
            "`python -m spexjax.experiments.tasks.cifar10_training` writes."
        )
    model = load_image_classifier(config.model)
    images = datasets.load_cifar10(config.data)
    order = np.random.default_rng(config.seed).permutation(len(images.test))[: config.per_group]
    for group in chosen(config, GROUPS):
        cols, rows = (int(part) for part in group.split("x"))
        for i in order.tolist():
            f = image_value(model, images.test[i], (rows, cols), score="log-odds")
            yield Item(f"cifar10-{group}-{i}", group, f.n, f, None, tuple(f.words))
