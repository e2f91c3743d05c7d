"""The methods by name: configuration, design and fit of each."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from spexjax.compiling import Program
from spexjax.masks.design import Design
from spexjax.methods import (
    auto,
    banzhaf,
    exact,
    faith_banzhaf,
    faith_shapley,
    integrated_gradients,
    kernelshap,
    lasso,
    lime,
    linear,
    proxyspex,
    shapley_taylor,
    spex,
    targeted,
)
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


class Method(NamedTuple):
    """A way to explain; neither of its functions ever sees the function that is explained.

    Attributes:
      config: a frozen dataclass whose fields JSON can hold (numbers, texts, None, tuples and
        dataclasses of them); made without arguments where only the name is given.
      design: (config, n, budget, max_order, key) → the masks to ask for.
      fit: (config, design, standardised values, key) → :class:`~spexjax.surrogates.fitted.Fit`.
      joins: whether the design may be given further masks whose values are known.
      programs: (config, design, key) → what ``fit`` will run, to be compiled while the function
        that is explained is at work.
    """

    config: type
    design: Callable[[Any, int, int, int, Key], Design]
    fit: Callable[[Any, Design, Standardised, Key], Fit]
    joins: bool = False
    programs: Callable[[Any, Design, Key], Iterable[Program]] | None = None


METHODS: dict[str, Method] = {}
"""The methods by name, in small letters."""


def register(name: str, method: Method) -> None:
    """Adds a method, by which name ``explain`` then knows it.

    Raises:
      ValueError: if there is one of this name or configuration.
    """
    taken = (*METHODS, integrated_gradients.NAME)
    if name.lower() in taken or method.config in [m.config for m in METHODS.values()]:
        raise ValueError(f"method {name!r}, or its configuration, is registered already.")
    METHODS[name.lower()] = method


for _name, _method in (
    ("auto", Method(auto.Auto, auto.design, auto.fit, joins=True, programs=auto.programs)),
    ("exact", Method(exact.Exact, exact.design, exact.fit)),
    ("spex", Method(spex.Spex, spex.design, spex.fit, joins=True, programs=spex.programs)),
    (
        "proxyspex",
        Method(
            proxyspex.ProxySpex,
            proxyspex.design,
            proxyspex.fit,
            joins=True,
            programs=proxyspex.programs,
        ),
    ),
    ("linear", Method(linear.Linear, linear.design, linear.fit, joins=True)),
    ("lasso", Method(lasso.Lasso, lasso.design, lasso.fit)),
    ("lime", Method(lime.Lime, lime.design, lime.fit)),
    ("kernelshap", Method(kernelshap.KernelShap, kernelshap.design, kernelshap.fit)),
    ("banzhaf", Method(banzhaf.Banzhaf, banzhaf.design, banzhaf.fit)),
    ("faith-banzhaf", Method(faith_banzhaf.FaithBanzhaf, faith_banzhaf.design, faith_banzhaf.fit)),
    ("faith-shapley", Method(faith_shapley.FaithShapley, faith_shapley.design, faith_shapley.fit)),
    (
        "shapley-taylor",
        Method(shapley_taylor.ShapleyTaylor, shapley_taylor.design, shapley_taylor.fit),
    ),
    (
        "targeted",
        Method(targeted.Targeted, targeted.design, targeted.fit, programs=targeted.programs),
    ),
):
    register(_name, _method)


def resolve(method: Any) -> tuple[str, Any]:
    """The name and configuration of a method given by name, in any case, or by configuration.

    Raises:
      ValueError: if it is unknown; the nearest name is suggested. Or if it does without a design.
    """
    if integrated_gradients.wanted(method) is not None:
        raise ValueError(
            f"{integrated_gradients.NAME} asks a function for its derivatives, not for masks "
            "alone: only explain(f, …) and `spexjax explain` can."
        )
    if not isinstance(method, str):
        for name, known in METHODS.items():
            if type(method) is known.config:
                return name, method
        raise ValueError(f"method must be a name or a configuration, got {method!r}.")
    name = method.lower()
    if name not in METHODS:
        there = [*METHODS, integrated_gradients.NAME]
        near = difflib.get_close_matches(name, there, 1, 0.0)
        raise ValueError(
            f"method {method!r} is unknown; did you mean {near[0]!r}? There are {', '.join(there)}."
        )
    return name, METHODS[name].config()


def aim(method: Any, target: str | tuple[str, int] | None) -> Any:
    """The method for a target: itself if there is none, else that of the target.

    Raises:
      ValueError: if the target is unknown, or another method than "auto" was asked for.
    """
    if target is None:
        return method
    if not isinstance(method, str) or method.lower() not in ("auto", "targeted"):
        raise ValueError(f"a target has its own method; leave out method, got {method!r}.")
    if isinstance(target, str):
        return targeted.Targeted(target)
    if not isinstance(target, tuple) or len(target) != 2:
        raise ValueError(f"target must be an index or an (index, order) pair, got {target!r}.")
    return targeted.Targeted(*target)


def to_json(config: Any) -> str:
    """A configuration as JSON; :func:`from_json` gives back an equal one."""
    return json.dumps(dataclasses.asdict(config), default=lambda x: x.item())  # NumPy numbers


def from_json(name: str, settings: str) -> Any:
    """The configuration of a method from what :func:`to_json` made.

    Raises:
      ValueError: if the method is unknown or the settings do not fit it.
    """
    config = METHODS[resolve(name)[0]].config
    try:
        return _rebuilt(config, json.loads(settings))
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"settings do not fit method {name!r}: {error!r}.") from error


def _rebuilt(kind: Any, value: Any) -> Any:
    """JSON as the dataclasses and tuples that the annotation ``kind`` asks for."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _rebuilt(hints[name], part) for name, part in value.items()})
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return tuple(_rebuilt(k, part) for k, part in zip(each, value, strict=True))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        options = [k for k in typing.get_args(kind) if k is not type(None)]
        if value is None:
            return None
        return _rebuilt(options[0], value) if len(options) == 1 else value
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, bool, str) and type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
