"""The :class:`Design`: which masks to ask for, and what each of them is for."""

import dataclasses
import enum
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, UInt32

from spexjax import fragments
from spexjax.codes import bch, gf2
from spexjax.masks.coded import CodedDesign
from spexjax.masks.permutations import Permutations
from spexjax.masks.shapley_kernel import SizePlan
from spexjax.masks.uniform import all_packed

_FORMAT, _VERSION = "spexjax.design", 1
_ROWS = ("packed", "role", "unit", "held_out")
_CODED = ("matrices", "shifts", "delays")
_SETTINGS = ("n", "budget", "max_order", "method", "settings", "seed")
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError,
               EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)  # fmt: skip
_LARGEST_FILE = 1 << 32


class Role(enum.IntEnum):
    """What a mask was chosen for; the numbers are part of the format of a saved design."""

    ENDPOINT = 0
    """1…1 or 0…0."""
    CODED = 1
    """Of the coded design of SPEX; its unit is group · D + delay."""
    UNIFORM = 2
    PAIRED = 3
    """Uniform, together with its complement, which has the same unit."""
    SHAPLEY_KERNEL = 4
    PERMUTATION = 5
    EXHAUSTIVE = 6
    """One of all 2^n."""
    STORED = 7
    """Not asked for: its value was in a store."""


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Masks in a fixed order without repeats, and what each is for. Host data.

    Whoever holds a design and the values at its masks has everything that
    :func:`spexjax.fit` needs.

    Attributes:
      n: number of features.
      budget, max_order: as given.
      packed: uint32 (N, W), the masks.
      role: int8 (N,), a :class:`Role` each.
      unit: int64 (N,); masks with one number (a pair, a group's delay) depend on each other, so
        that no cross-validation may split them.
      held_out: bool (N,), masks that nothing may be fitted to until faithfulness was measured.
      coded: the coded design, if there is one.
      coded_rows: int64 (C · D · 2^b,), the place of each of its masks, in its order, among the N.
      sizes: how the masks of the Shapley kernel were planned.
      permutations: which masks give which discrete derivatives.
      method, settings: name and configuration, as JSON, of the method that chose the masks.
      seed: an int, or the words of a key.
    """

    n: int
    budget: int
    max_order: int
    packed: UInt32[np.ndarray, "N W"]
    role: Int[np.ndarray, "N"]
    unit: Int[np.ndarray, "N"]
    held_out: Bool[np.ndarray, "N"]
    coded: CodedDesign | None = None
    coded_rows: Int[np.ndarray, "C_D_B"] | None = None
    sizes: SizePlan | None = None
    permutations: Permutations | None = None
    method: str = ""
    settings: str = "{}"
    seed: int | tuple[int, ...] = 0

    def __len__(self) -> int:
        """N, the number of masks."""
        return len(self.packed)

    def __repr__(self) -> str:
        counts = np.bincount(self.role, minlength=len(Role))
        parts = [f"{counts[role]:,} {role.name.lower()}" for role in Role if counts[role]]
        return f"Design({self.method!r}, n={self.n}, {len(self):,} masks: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what was asked for, and what the masks are for."""
        counts = np.bincount(self.role, minlength=len(Role))
        sizes = np.bitwise_count(self.packed).sum(axis=1, dtype=np.int64)
        rows = [
            ("method", f"{self.method}, sets of at most {self.max_order}"),
            ("features", f"{self.n:,}"),
            ("masks", f"{len(self):,} of a budget of {self.budget:,}"),
            *((role.name.lower().replace("_", " "), f"{counts[role]:,}") for role in Role
              if counts[role]),
            ("held out", f"{np.count_nonzero(self.held_out):,}"),
        ]  # fmt: skip
        if len(self):
            kept = f"{sizes.min():,} to {sizes.max():,}, {sizes.mean() / self.n:.0%} on average"
            rows.append(("features kept", kept))
        if self.coded is not None:
            coded = self.coded
            many = f"{coded.groups} groups, {coded.num_delays} delays, 2^{coded.b} bins"
            rows.append(("coded design", many))
        rows.append(("seed", str(self.seed)))
        return fragments.facts("Design", rows)

    def masks(self, start: int = 0, stop: int | None = None) -> Bool[np.ndarray, "rows n"]:
        """The masks ``start`` to ``stop`` as bool, True keeps an input; all without arguments."""
        return gf2.unpack_numpy(self.packed[start:stop], self.n)

    @property
    def exhaustive(self) -> bool:
        """Whether these are all 2^n masks, mask m at place m."""
        return len(self) > 0 and self.role[0] == Role.EXHAUSTIVE

    @property
    def asked(self) -> int:
        """How many of the masks f is asked for: all but those whose values were stored."""
        return int(np.count_nonzero(self.role != Role.STORED))

    def place_of(self, keep: bool) -> int | None:
        """Where 1…1 (``keep``), or 0…0, is among the masks; None if it is not."""
        sizes = np.bitwise_count(self.packed).sum(axis=1)
        found = np.flatnonzero(sizes == (self.n if keep else 0))
        return int(found[0]) if len(found) else None

    def named(self, method: str, settings: str, seed: int | tuple[int, ...]) -> "Design":
        """The design with what it came from."""
        return dataclasses.replace(self, method=method, settings=settings, seed=seed)

    def with_stored(self, packed: UInt32[np.ndarray, "rows W"]) -> "Design":
        """The design with further masks, whose values are known; none of them held out."""
        count = len(packed)
        return dataclasses.replace(
            self,
            packed=np.concatenate([self.packed, packed]),
            role=np.append(self.role, np.full(count, Role.STORED, np.int8)),
            unit=np.append(self.unit, self.unit.max(initial=-1) + 1 + np.arange(count)),
            held_out=np.append(self.held_out, np.zeros(count, bool)),
        )

    def save(self, path: str | Path) -> None:
        """Writes the design as ``.npz``; :meth:`load` gives it back, bit for bit."""
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "t": None if self.coded is None else self.coded.code.t,
            **{name: getattr(self, name) for name in _SETTINGS},
        }
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ROWS}
        if self.coded is not None:
            arrays |= {name: np.asarray(getattr(self.coded, name)) for name in _CODED}
            arrays["coded_rows"] = self.coded_rows
        if self.sizes is not None:
            arrays |= {f"sizes.{k}": v for k, v in self.sizes._asdict().items()}
        if self.permutations is not None:
            parts = self.permutations._asdict()
            arrays |= {f"permutations.lower.{s}": rows for s, rows in enumerate(parts.pop("lower"))}
            arrays |= {f"permutations.{k}": v for k, v in parts.items()}
        with Path(path).open("wb") as file:
            np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)

    @staticmethod
    def load(path: str | Path) -> "Design":
        """Reads what :meth:`save` wrote.

        Raises:
          ValueError: if the file is not a design or is inconsistent.
        """
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise ValueError(f"{path} is larger than {_LARGEST_FILE} bytes.")
        try:
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return _checked(json.loads(str(arrays.pop("head"))), arrays)
        except _UNREADABLE as error:
            raise ValueError(f"{path} is not a design: {error!r}.") from error


def _checked(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Design:
    if head["format"] != _FORMAT or head["version"] != _VERSION:
        raise ValueError(
            f"format {head['format']!r} {head['version']!r} is not {_FORMAT!r} {_VERSION}."
        )
    n = head["n"]
    rows: dict[str, Any] = {name: arrays[name] for name in _ROWS}
    for name in ("n", "budget", "max_order"):
        if type(head[name]) is not int or head[name] < 1:
            raise ValueError(f"{name} must be an int from 1, got {head[name]!r}.")
    packed = rows["packed"]
    if packed.dtype != np.uint32 or packed.ndim != 2 or packed.shape[1] != gf2.num_words(n):
        raise ValueError(f"the masks do not have n = {n} features.")
    if np.any(gf2.pack_numpy(gf2.unpack_numpy(packed, n), packed.shape[1]) != packed):
        raise ValueError(f"a mask has features beyond n = {n}.")
    if len(gf2.unique_rows(packed)[0]) != len(packed):
        raise ValueError("a mask occurs twice.")
    kinds = {"role": np.int8, "unit": np.int64, "held_out": np.bool_}
    if any(rows[k].shape != packed.shape[:1] or rows[k].dtype != kinds[k] for k in kinds):
        raise ValueError("role, unit and held_out must have one entry per mask.")
    if np.any((rows["role"] < 0) | (rows["role"] >= len(Role))):
        raise ValueError("a role is unknown.")
    settings: dict[str, Any] = {name: head[name] for name in _SETTINGS}
    settings["seed"] = _seed(head["seed"])
    if type(head["method"]) is not str or type(head["settings"]) is not str:
        raise ValueError("method and settings must be texts.")
    if np.any(rows["role"] == Role.EXHAUSTIVE) and not np.array_equal(packed, all_packed(n)):
        raise ValueError("the masks are not all masks in order.")
    coded, coded_rows = None, arrays.get("coded_rows")
    if coded_rows is not None:
        parts = {name: jnp.asarray(arrays[name]) for name in _CODED}
        code = bch.make_code(n, head["t"], packed.shape[1])
        coded = CodedDesign(n=jnp.int32(n), code=code, **parts)
        _check_places(coded_rows, len(packed))
        parities = bch.parameters(n, head["t"]).parity_bits
        if coded.num_delays != parities + 1 or coded_rows.shape != (coded.num_masks,):
            raise ValueError("the coded design is not one of its code.")
        if np.any(np.asarray(coded.packed()) != packed[coded_rows]):
            raise ValueError("the coded masks are not those of their design.")
    sizes = permutations = None
    if "sizes.complete" in arrays:
        sizes = SizePlan(*(arrays[f"sizes.{k}"] for k in SizePlan._fields))
        if any(part.shape != (n + 1,) for part in sizes):
            raise ValueError("sizes must have one entry per size of a mask.")
    if "permutations.sets" in arrays:
        lower = sorted(name for name in arrays if name.startswith("permutations.lower."))
        permutations = Permutations(
            lower=tuple(arrays[name] for name in lower),
            **{k: arrays[f"permutations.{k}"] for k in Permutations._fields if k != "lower"},
        )
        for places in (*permutations.lower, permutations.cubes):
            _check_places(places, len(packed))
    return Design(
        **rows, coded=coded, coded_rows=coded_rows, sizes=sizes, permutations=permutations,
        **settings,
    )  # fmt: skip


def _check_places(places: np.ndarray, count: int) -> None:
    if places.dtype != np.int64 or np.any((places < 0) | (places >= count)):
        raise ValueError(f"places of masks must be from 0 to {count - 1}.")


def _seed(seed: Any) -> int | tuple[int, ...]:
    words = seed if isinstance(seed, list) else [seed]
    most = 2**32 if isinstance(seed, list) else 2**63
    if len(words) != (2 if isinstance(seed, list) else 1) or any(
        type(word) is not int or not -most <= word < most for word in words
    ):
        raise ValueError(f"seed must be an int, or the two words of a key, got {seed!r}.")
    return tuple(words) if isinstance(seed, list) else seed
