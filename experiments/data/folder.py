"""Where the data sets are: a folder that a configuration, or the environment, names."""

import dataclasses
import os
from typing import Any

DATA = "SPEXJAX_DATA"


def with_data(config: Any) -> Any:
    """The configuration with ``$SPEXJAX_DATA`` wherever it has a folder of data that is not set."""
    changed = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = with_data(value)
        elif field.name == "data" and value is None:
            changed[field.name] = os.environ.get(DATA)
    return dataclasses.replace(config, **changed)
