"""Options for the programs of fits, which take longer to compile than to run."""

import jax

_VERSIONS = (0, 7) <= jax.__version_info__[:2] <= (0, 12)
# Of XLA's two ways to compile a fusion for CPUs the older takes two thirds of the time, and what it
# makes is as fast here. The option may go: only versions that were tried are asked for it.
QUICKLY = {"xla_cpu_use_fusion_emitters": False} if _VERSIONS else {}
"""``compiler_options`` of ``jax.jit``; not for functions that are called inside another's jit."""
