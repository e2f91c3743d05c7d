"""Value functions (tables, images, games, functions on a device) and how they are called."""

from spexjax.values.calling import OnDevice, evaluate, on_device
from spexjax.values.errors import Interrupted, PartialValues, ValueFunctionError
from spexjax.values.gradients import differentiable
from spexjax.values.images import image_cells, image_grid
from spexjax.values.tables import tabular, tabular_rows

__all__ = [
    "Interrupted",
    "OnDevice",
    "PartialValues",
    "ValueFunctionError",
    "differentiable",
    "evaluate",
    "image_cells",
    "image_grid",
    "on_device",
    "tabular",
    "tabular_rows",
]
