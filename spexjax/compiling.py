"""How the programs of fits are compiled, which takes longer than to run them."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import jax

T = TypeVar("T")
_KNOWN = (0, 7) <= jax.__version_info__ < (0, 11, 1)
# Of XLA's two ways to compile a fusion for CPUs the older takes two thirds of the time, and what it
# makes is as fast here. JAX 0.11.1 has the newer way only.
_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if _KNOWN else {}


def _unless_asked(options: dict[str, bool | int]) -> dict[str, bool | int]:
    """Those that ``XLA_FLAGS`` says nothing of."""
    asked = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in options.items() if name not in asked}


QUICKLY = _unless_asked(_EMITTERS | {"xla_backend_optimization_level": 1})
"""``compiler_options`` of ``jax.jit``; not for functions that are called inside another's jit. A
tenth less is to be compiled than at XLA's own level, and it runs as fast."""
# Of programs that have little to do: optimising them takes longer than they do.
_HASTILY = _unless_asked(_EMITTERS | {"xla_backend_optimization_level": 0})


def hasty(*static: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates with ``jax.jit`` a function that has little to do, also inside another's jit.

    Args:
      static: names of static arguments.
    """

    def decorated(function: Callable[..., T]) -> Callable[..., T]:
        alone = jax.jit(function, static_argnames=static, compiler_options=_HASTILY)
        inside = jax.jit(function, static_argnames=static)

        @wraps(function)
        def call(*args: Any, **named: Any) -> T:
            traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((args, named)))
            return (inside if traced else alone)(*args, **named)

        return call

    return decorated


class Program(NamedTuple):
    """A function made by ``jax.jit``, and arguments of the shapes that it will get."""

    function: Any
    arguments: tuple[Any, ...]

    def compile(self) -> None:
        """Compiles the program, so that calls with such arguments find it ready."""
        self.function.lower(*self.arguments).compile()

    def signature(self) -> tuple[Any, ...]:
        """What it is compiled for: the function's name, shapes and types, static arguments."""
        leaves, tree = jax.tree.flatten(self.arguments)
        shapes = tuple((x.shape, str(x.dtype)) if hasattr(x, "shape") else x for x in leaves)
        return self.function.__name__, str(tree), shapes
