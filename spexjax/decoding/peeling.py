"""Peeling: bins that hold one term are decoded, the term is subtracted everywhere, and so on.

Each round decodes all bins worth a look, keeps the sets that lower the energy of the C bins they
fall into, and subtracts them (Kang et al. 2025, section 4.2, algorithm 1). A round is a
:func:`step`; :func:`run` repeats it. Rounds come in three levels of effort: hard decoding, soft
decoding of what looks more than noise, soft decoding of everything. Progress sends the level back
to the first, its absence on to the next; after the last the search is over.
"""

import dataclasses
import functools
import math
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax.codes import chase
from spexjax.decoding import bins
from spexjax.masks import CodedDesign
from spexjax.typing import Array

_HARD, _SOFT, _UNGATED, _DONE = 0, 1, 2, 3
_ROWS = 256
_CHANGE = 0.01
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@dataclasses.dataclass(frozen=True)
class PeelConfig:
    """Static settings of the search.

    Attributes:
      decoder: "soft" tries Chase's patterns where the hard decision fails, "hard" does not.
      patterns: words tried per bin; 1 + t(2t + 1) if None.
      false_alarm: the rate at which a bin of pure noise is examined, and a coefficient of pure
        noise passes, if the noise is Gaussian.
      accept: "energy" keeps a set if subtracting it lowers the energy of its C bins;
        "published" if the residual of the bin that it was found in is below 0.9 of its energy,
        without a look at noise: the reference implementation's rule, kept for comparison.
      max_rounds: rounds at most.
      capacity: terms at most; 2 · C · 2^b, as a power of two, if None.
      words: words decoded together, a trade of memory against loop overhead.
    """

    decoder: Literal["soft", "hard"] = "soft"
    patterns: int | None = None
    false_alarm: float = 1e-3
    accept: Literal["energy", "published"] = "energy"
    max_rounds: int = 100
    capacity: int | None = None
    words: int = 1024

    def __post_init__(self):
        for name, value, allowed in (
            ("decoder", self.decoder, ("soft", "hard")),
            ("accept", self.accept, ("energy", "published")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
        if not 0 < self.false_alarm < 1:
            raise ValueError(f"false_alarm must be between 0 and 1, got {self.false_alarm}.")


class State(NamedTuple):
    """What a round changes. CB = C · 2^b bins, flat; K outputs peeled together."""

    residual: Float[Array, "CB D K"]
    tried: Int32[Array, "CB"]
    """Levels of effort spent on a bin since it last changed."""
    level: Int32[Array, ""]
    features: Int32[Array, "S t"]
    coefficients: Float[Array, "S K"]
    keys: UInt32[Array, "S"]
    num_terms: Int32[Array, ""]
    rounds: Int32[Array, ""]
    overflow: Bool[Array, ""]


class Info(NamedTuple):
    """Diagnostics of a finished search."""

    rounds: Int32[Array, ""]
    overflow: Bool[Array, ""]
    """True if terms were left in their bins for lack of capacity."""
    undecoded_bins: Int32[Array, ""]
    """Bins left with more energy than noise explains."""
    undecoded_energy: Float[Array, ""]
    """The share of the bins' initial energy that those hold."""
    residual_energy: Float[Array, ""]
    """The share of the bins' initial energy that all bins hold."""
    noise: Float[Array, ""]
    """The estimated noise variance of one bin measurement."""


def init(design: CodedDesign, transformed: Float[Array, "C D B K"], config: PeelConfig) -> State:
    """The state before the first round: nothing tried, and of all sets only ∅ on the list."""
    C, D, B, K = transformed.shape
    S = config.capacity or 1 << (2 * C * B - 1).bit_length()
    features = jnp.full((S, design.code.t), -1, jnp.int32)
    return State(
        residual=transformed.transpose(0, 2, 1, 3).reshape(C * B, D, K),
        tried=jnp.zeros(C * B, jnp.int32),
        level=jnp.int32(_HARD),
        features=features,
        coefficients=jnp.zeros((S, K), jnp.float32),
        keys=_hash(features),
        num_terms=jnp.int32(1),
        rounds=jnp.int32(0),
        overflow=jnp.bool_(False),
    )


def step(
    design: CodedDesign,
    table: bins.Tables,
    config: PeelConfig,
    active: Bool[Array, "C"],
    floor: Float[Array, ""],
    state: State,
) -> State:
    """One round: decode, keep what lowers the energy, subtract it.

    Args:
      design: the masks.
      table: :func:`spexjax.decoding.bins.tables` of the design.
      config: static settings.
      active: bool (C,), the groups to look at; the others' bins must be zero.
      floor: float32 scalar, the least noise variance to assume (rounding).
      state: the state before.
    """
    CB, D, K = state.residual.shape
    energy = bins.energies(state.residual)
    noise = bins.noise_variance(energy, active, D * K, floor)
    loud = energy > noise * bins.chi2_quantile(D * K, config.false_alarm)
    effort = jnp.where(state.level == _HARD, jnp.int32(1), jnp.int32(2))
    every = (state.level == _UNGATED) | (config.accept == "published")
    worth = jnp.where(every, energy > D * K * floor, loud)
    todo = (state.tried < effort) & worth
    features, found = _search(
        design, table, config, bins.direction(state.residual), todo, state.level
    )

    peel, left = _propose(design, table, config, active, noise, state.residual, features, found)
    residual, state, progress = _accept(peel, state, guarded=config.accept == "energy")
    coefficients, residual = _refine(design, table, active, state, residual)
    changed = jnp.abs(bins.energies(residual) - energy) > _CHANGE * energy
    tried = jnp.where(todo & ~left, effort, state.tried)
    # Bins as loud as noise alone would make them need no second look below the gate.
    expected = config.false_alarm * CB
    quiet = jnp.sum(loud, dtype=jnp.int32) <= int(expected + 3 * math.sqrt(expected) + 1)
    finished = quiet & (state.num_terms > 1) & (state.level == _SOFT)
    return state._replace(
        residual=residual,
        coefficients=coefficients,
        tried=jnp.where(changed, 0, tried),
        level=jnp.where(progress, _HARD, jnp.where(finished, _DONE, state.level + 1)),
        rounds=state.rounds + 1,
    )


def run(
    design: CodedDesign,
    transformed: Float[Array, "C D B K"],
    config: PeelConfig,
    active: Bool[Array, "C"] | None = None,
) -> tuple[State, Info]:
    """Peels until nothing more is found.

    Args:
      design: the masks.
      transformed: float32 (C, D, 2^b, K), the transforms along ℓ of values without their mean,
        scaled so that the largest is about 1: numbers below 1e-15 count as rounding.
      config: static settings.
      active: bool (C,), the groups to use; all if None.
    """
    chex.assert_shape(transformed, (design.groups, design.num_delays, 2**design.b, None))
    chex.assert_type(transformed, jnp.float32)
    active = jnp.ones(design.groups, bool) if active is None else active
    chex.assert_shape(active, (design.groups,))
    table = bins.tables(design)
    state = init(design, jnp.where(active[:, None, None, None], transformed, 0.0), config)
    start = bins.energies(state.residual)
    _, D, K = state.residual.shape
    # Bins of a noiseless function still hold the rounding of the transform.
    floor = 1e-12 * jnp.max(start) / D + jnp.float32(bins.TINY)
    last = _DONE if config.decoder == "soft" else _SOFT

    def going(state: State) -> Array:
        return (state.level < last) & (state.rounds < config.max_rounds)

    state = jax.lax.while_loop(
        going, functools.partial(step, design, table, config, active, floor), state
    )
    energy = bins.energies(state.residual)
    noise = bins.noise_variance(energy, active, D * K, floor)
    loud = energy > noise * bins.chi2_quantile(D * K, config.false_alarm)
    total = jnp.maximum(jnp.sum(start), jnp.float32(bins.TINY))
    return state, Info(
        rounds=state.rounds,
        overflow=state.overflow,
        undecoded_bins=jnp.sum(loud, dtype=jnp.int32),
        undecoded_energy=jnp.sum(jnp.where(loud, energy, 0.0)) / total,
        residual_energy=jnp.sum(energy) / total,
        noise=noise,
    )


def _search(design, table, config, u, todo, level):
    """The best set for each bin to do: features (CB, t) and whether there is one (CB,)."""
    code, (CB, D) = design.code, u.shape
    soft = config.decoder == "soft"
    wanted = config.patterns or chase.num_patterns(code.t)
    patterns = min(wanted, chase.flip_subsets(2 * code.t, wanted).shape[0]) if soft else 1
    rows = max(1, min(config.words, CB * patterns) // patterns)
    words = rows * patterns
    B = 2**design.b

    def chunk(carry):
        done, features, found = carry

        def pick(count):
            """The next bins to do; CB where there are no more."""
            return chase.place(order, done + jnp.arange(count, dtype=jnp.int32), total)

        def hard_words():
            ids = pick(words)
            return ids, chase.hard_syndromes(code, u[jnp.minimum(ids, CB - 1)])

        def soft_words():
            ids = pick(rows)
            syndromes = chase.soft_syndromes(code, u[jnp.minimum(ids, CB - 1)], patterns)
            return jnp.repeat(ids, patterns), syndromes.reshape(words, code.t)

        hard = level == _HARD
        ids, syndromes = jax.lax.cond(hard, hard_words, soft_words) if soft else hard_words()

        def score(word, members):
            own = jnp.minimum(ids[word], CB - 1)
            hashes = chase.gather_xor(table.bins.T, members)
            where = jnp.take_along_axis(hashes, (own // B)[:, None], axis=1)[:, 0]
            fits = (where & jnp.uint32(B - 1)).astype(jnp.int32) == own % B
            likelihood = jnp.abs(jnp.sum(chase.signs(table.parities, members, D) * u[own], axis=-1))
            return jnp.where(fits, likelihood, -jnp.inf)

        result = chase.decode_words(code, syndromes, ids < CB, design.n, score)

        def keep_hard():
            good = result.score > -jnp.inf
            return (
                features.at[ids].set(result.features, mode="drop"),
                found.at[ids].set(good, mode="drop"),
            )

        def keep_soft():
            likelihood = result.score.reshape(rows, patterns)
            best = jnp.argmax(likelihood, axis=-1).astype(jnp.int32)
            row = jnp.arange(rows, dtype=jnp.int32)
            own = ids.reshape(rows, patterns)[:, 0]
            members = result.features.reshape(rows, patterns, code.t)[row, best]
            good = likelihood[row, best] > -jnp.inf
            return (
                features.at[own].set(members, mode="drop"),
                found.at[own].set(good, mode="drop"),
            )

        features, found = jax.lax.cond(hard, keep_hard, keep_soft) if soft else keep_hard()
        return done + jnp.where(hard, words, rows), features, found

    order, total = chase.true_first(todo), jnp.sum(todo, dtype=jnp.int32)
    start = (
        jnp.int32(0),
        jnp.full((CB, code.t), -1, jnp.int32),
        jnp.zeros(CB, bool),
    )
    _, features, found = jax.lax.while_loop(lambda c: c[0] < total, chunk, start)
    return features, found


class _Peel(NamedTuple):
    """Terms that bins propose."""

    rows: bins.Rows
    coefficients: Float[Array, "R K"]
    gain: Float[Array, "R"]
    """By how much subtracting the term alone lowers the energy."""
    accepted: Bool[Array, "R"]


def _propose(design, table, config, active, noise, residual, features, found):
    """The terms that up to ``_ROWS`` bins propose, and the bins that had to be left for later."""
    (CB, D, K), C, B = residual.shape, design.groups, 2**design.b
    R = min(CB, _ROWS)
    order = chase.true_first(found)
    own, real = order[:R], found[order[:R]]
    rows = bins.meet(C, B, D, table, active, features[own])
    estimates = bins.estimates(rows, residual)
    agree = found[rows.bins] & jnp.all(features[rows.bins] == rows.features[:, None], axis=-1)
    agree = agree & active
    home = own // B
    first = jnp.argmax(agree, axis=1).astype(jnp.int32) == home
    witnesses = jnp.sum(agree, axis=1, dtype=jnp.float32)
    share = agree.astype(jnp.float32) / jnp.maximum(witnesses, 1.0)[:, None]
    coefficients = _einsum("rc,rck->rk", share, estimates)
    size = jnp.sum(coefficients**2, axis=-1)
    overlap = _einsum("rck,rk->r", estimates, coefficients)
    gain = D * (2.0 * overlap - jnp.sum(active, dtype=jnp.float32) * size)
    if config.accept == "published":
        mine = jnp.sum(estimates[jnp.arange(R, dtype=jnp.int32), home] * coefficients, axis=-1)
        before = bins.energies(residual)[own]
        keep = before - D * (2.0 * mine - size) < 0.9 * before
    else:
        loud = size * D * witnesses > noise * bins.chi2_quantile(K, config.false_alarm)
        keep = (gain > 0.0) & loud
    left = found.at[own].set(False)
    return _Peel(rows, coefficients, gain, real & first & keep), left


def _accept(peel: _Peel, state: State, guarded: bool) -> tuple[Array, State, Array]:
    """Subtracts what was accepted and puts it on the list, equal sets merged; did anything go?"""
    rows = peel.rows
    S, R = state.keys.shape[0], peel.accepted.shape[0]
    keys = _hash(rows.features)
    known = (state.keys == keys[:, None]) & (jnp.arange(S, dtype=jnp.int32) < state.num_terms)
    match = jnp.argmax(known, axis=1).astype(jnp.int32)
    old = jnp.any(known, axis=1) & jnp.all(state.features[match] == rows.features, axis=-1)
    room = state.num_terms + _running_count(peel.accepted & ~old) <= S
    fits = peel.accepted & (old | room)
    before = jnp.sum(bins.energies(state.residual))
    best = jnp.argmax(jnp.where(fits, peel.gain, -jnp.inf)).astype(jnp.int32)

    # Terms peeled together may share bins, so the energy is checked for all of them at once;
    # where it would rise, the single best term is taken (the published rule has no such guard).
    def attempt(carry):
        attempts, chosen, _, _ = carry
        residual = bins.subtract(rows, peel.coefficients, chosen, state.residual)
        falls = (jnp.sum(bins.energies(residual)) <= before) | (not guarded)
        fewer = fits & (jnp.arange(R, dtype=jnp.int32) == best)
        return attempts + 1, jnp.where(falls, chosen, fewer), residual, falls

    start = jnp.int32(0), fits, state.residual, jnp.bool_(False)
    _, chosen, residual, _ = jax.lax.while_loop(lambda c: ~c[3] & (c[0] < 2), attempt, start)
    fresh = chosen & ~old
    slot = state.num_terms + _running_count(fresh) - 1
    place = jnp.where(chosen, jnp.where(old, match, slot), S)
    slot = jnp.where(fresh, slot, S)
    state = state._replace(
        features=state.features.at[slot].set(rows.features, mode="drop"),
        coefficients=bins.add(state.coefficients, place, peel.coefficients),
        keys=state.keys.at[slot].set(keys, mode="drop"),
        num_terms=state.num_terms + jnp.sum(fresh, dtype=jnp.int32),
        overflow=state.overflow | jnp.any(peel.accepted & ~fits),
    )
    return residual, state, jnp.any(chosen)


def _running_count(mask: Bool[Array, "R"]) -> Int32[Array, "R"]:
    """How many are true up to each place (for few places: it compares all pairs)."""
    return jnp.sum(jnp.tril(jnp.broadcast_to(mask, (mask.shape[0],) * 2)), axis=1, dtype=jnp.int32)


def _refine(design, table, active, state: State, residual: Array) -> tuple[Array, Array]:
    """One step of steepest descent, with exact line search, on all coefficients found so far.

    A bin that was read while it held other terms gave a biased estimate; without this step the
    bias would come back as further rounds that decode the same sets again.
    """
    S = state.keys.shape[0]
    R = min(S, _ROWS)
    D, C, B = residual.shape[1], design.groups, 2**design.b
    groups = jnp.maximum(jnp.sum(active, dtype=jnp.float32), 1.0)

    def chunk(carry):
        start, steps, image = carry
        wanted = start + jnp.arange(R, dtype=jnp.int32)
        slots = jnp.minimum(wanted, S - 1)
        mine = (wanted < state.num_terms) & (slots >= start)
        rows = bins.meet(C, B, D, table, active, state.features[slots])
        step = jnp.sum(bins.estimates(rows, residual), axis=1) / groups
        image = bins.subtract(rows, -step, mine, image)
        return start + R, steps.at[jnp.where(mine, slots, S)].set(step, mode="drop"), image

    start = jnp.int32(0), jnp.zeros_like(state.coefficients), jnp.zeros_like(residual)
    _, steps, image = jax.lax.while_loop(lambda c: c[0] < state.num_terms, chunk, start)
    length = jnp.sum(image * residual) / jnp.maximum(jnp.sum(image * image), bins.TINY)
    return state.coefficients + length * steps, residual - length * image


def _hash(features: Int32[Array, "rows t"]) -> UInt32[Array, "rows"]:
    """A 32-bit mix of the members (Knuth's multiplier, then an xor-shift per member)."""
    h = jnp.zeros(features.shape[0], jnp.uint32)
    for column in features.T:
        h = (h ^ column.astype(jnp.uint32)) * jnp.uint32(2654435761)
        h = h ^ (h >> jnp.uint32(15))
    return h
