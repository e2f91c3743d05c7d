"""shapiq's estimators of interaction indices, each with the best options that it offers."""

import inspect
import warnings
from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType
from typing import NamedTuple

from spexjax.experiments.functions.planted import Support
from spexjax.typing import ValueFunction


class Estimator(NamedTuple):
    """A class of ``shapiq.approximator``, the packages that it cannot do without, and options."""

    name: str
    needs: tuple[str, ...] = ()
    options: tuple[tuple[str, bool | int], ...] = ()

    def __str__(self) -> str:
        on = ", ".join(f"{k}={v}" for k, v in self.options)
        return f"{self.name}({on})" if on else self.name


def version() -> str:
    """Of shapiq.

    Raises:
      ImportError: if shapiq is not installed.
    """
    try:
        return metadata.version("shapiq")
    except metadata.PackageNotFoundError as error:
        raise ImportError("shapiq is not installed: pip install shapiq.") from error


def options(name: str) -> dict[str, bool]:
    """What is switched on: masks in pairs of complements, wherever the estimator offers it."""
    from shapiq import approximator

    offered = inspect.signature(getattr(approximator, name).__init__).parameters
    return {"pairing_trick": True} if "pairing_trick" in offered else {}


def offered(name: str) -> bool:
    """Whether the installed version has the estimator."""
    from shapiq import approximator

    return hasattr(approximator, name)


def estimate(
    name: str,
    f: ValueFunction,
    n: int,
    index: str,
    order: int,
    budget: int,
    seed: int,
    more: Mapping[str, bool | int] = MappingProxyType({}),
) -> dict[Support, float]:
    """Values of the index on sets of at most ``order`` players; ``more`` are further options.

    Raises:
      ImportError: if shapiq is not installed.
    """
    from shapiq import approximator

    kind = getattr(approximator, name)
    takes = inspect.signature(kind.__init__).parameters
    asked = {"index": index, "max_order": order}
    given = {key: value for key, value in asked.items() if key in takes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(n=n, random_state=seed, **given, **options(name), **more)
        return dict(made.approximate(budget, f).interactions)
