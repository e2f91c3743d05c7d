"""From values to a spectrum: recovery, diagnostics, limits."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from spexjax import masks
from spexjax.decoding import bins, peeling, spex
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks import coded
from spexjax.spectra import transforms


@pytest.fixture(scope="module")
def design():
    return masks.coded_design(jax.random.key(0, impl="threefry2x32"), 60, 5, 3, 3)


def values_at(design, terms, sigma=0.0, seed=0):
    clean = oracles.evaluate(terms, design.masks())
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    return jnp.asarray(clean + sigma * noise, jnp.float32)


def planted(count, seed=0):
    return {(): 1.5, **oracles.planted_terms(60, count, seed, range(1, 4))}


@pytest.mark.parametrize("decoder", ["soft", "hard"])
def test_a_noiseless_sparse_function_is_recovered_exactly(design, decoder):
    terms = planted(12)
    spectrum, info = spex.decode(design, values_at(design, terms), PeelConfig(decoder=decoder))
    found = spectrum.to_dict()
    assert set(found) == set(terms)
    assert all(abs(found[k] - terms[k]) < 1e-4 for k in terms)
    assert int(info.undecoded_bins) == 0 and not bool(info.overflow)
    assert float(info.residual_energy) < 1e-8


def test_bins_hold_the_sums_that_the_definition_says(design):
    terms = planted(6)
    y = values_at(design, terms)
    C, D, B = design.groups, design.num_delays, 2**design.b
    held = np.asarray(transforms.fwht(y.reshape(C, D, B), axis=2)) / B
    table = bins.tables(design)
    features = np.full((len(terms), design.code.t), -1, np.int32)
    for row, members in zip(features, terms, strict=True):
        row[: len(members)] = members
    rows = bins.meet(C, B, D, table, jnp.ones(C, bool), jnp.sort(features, axis=1))
    expected = np.zeros((C * B, D))
    place, signs, shifts = (np.asarray(x) for x in (rows.bins, rows.signs, rows.shifts))
    for r, coefficient in enumerate(terms.values()):
        for c in range(C):
            expected[place[r, c]] += coefficient * signs[r] * shifts[r, c]
    np.testing.assert_allclose(held.transpose(0, 2, 1).reshape(C * B, D), expected, atol=1e-5)


@pytest.fixture
def as_gpus_do(monkeypatch):
    """Programs take the branch of devices that are no CPUs."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *a, cpu, default: default(*a))
    spex._decode.clear_cache()
    yield
    spex._decode.clear_cache()


@pytest.mark.parametrize("rest", [(), (2,), (5, 2)])
def test_terms_that_share_a_place_are_added(rest, as_gpus_do):
    rng = np.random.default_rng(0)
    sums, terms = (rng.standard_normal((count, *rest)).astype(np.float32) for count in (4, 9))
    place = np.array([0, 3, 3, 4, 1, 3, 0, 4, 4], np.int32)
    want = sums.copy()
    np.add.at(want, place[place < 4], terms[place < 4])
    terms[place == 4] = np.nan  # they are not added
    found = jax.jit(bins.add)(sums, place, terms)
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)


def test_gpus_find_what_cpus_find(design, request):
    values = values_at(design, planted(20), 0.1)
    want, info = spex.decode(design, values)
    request.getfixturevalue("as_gpus_do")
    found, same = spex.decode(design, values)
    chex.assert_trees_all_close(found.to_dict(), want.to_dict(), rtol=1e-5, atol=1e-6)
    assert info.rounds == same.rounds


def test_noise_is_tolerated_and_yields_no_false_terms(design):
    terms = planted(12, 1)
    spectrum, info = spex.decode(design, values_at(design, terms, sigma=0.5))
    found = spectrum.to_dict()
    assert set(found) == set(terms)
    per_bin = 0.25 / 2**design.b
    assert float(info.noise) == pytest.approx(per_bin, rel=0.3)


def test_energy_falls_in_every_round(design):
    y = values_at(design, planted(40, 2), sigma=0.3)
    C, D, B = design.groups, design.num_delays, 2**design.b
    transformed = transforms.fwht((y - y.mean()).reshape(C, D, B, 1), axis=2) / B
    config, table = PeelConfig(), bins.tables(design)
    step = jax.jit(
        lambda s: peeling.step(design, table, config, jnp.ones(C, bool), jnp.float32(1e-9), s)
    )
    state = peeling.init(design, transformed, config)
    energies = [float(bins.energies(state.residual).sum())]
    while int(state.level) < 3 and int(state.rounds) < 20:
        state = step(state)
        energies.append(float(bins.energies(state.residual).sum()))
    assert all(a >= b * (1 - 1e-6) for a, b in itertools.pairwise(energies))
    assert energies[-1] < 0.2 * energies[0]
    assert 2 < int(state.rounds) < 20


def test_pure_noise_finds_little(design):
    y = values_at(design, {}, sigma=1.0, seed=3)
    spectrum, info = spex.decode(design, y)
    assert len(spectrum.to_dict()) <= 3
    assert float(info.residual_energy) > 0.9
    assert int(info.undecoded_bins) <= 3


def test_a_constant_function_is_its_mean(design):
    spectrum, info = spex.decode(design, jnp.full(design.num_masks, 2.5))
    assert spectrum.to_dict() == {(): 2.5}
    assert int(info.undecoded_bins) == 0


def test_lack_of_capacity_is_reported_and_leaves_the_energy_in_the_bins(design):
    terms = planted(12)
    spectrum, info = spex.decode(design, values_at(design, terms), PeelConfig(capacity=8))
    assert bool(info.overflow)
    assert int(spectrum.valid.sum()) == 8
    assert float(info.undecoded_energy) > 0
    full, _ = spex.decode(design, values_at(design, terms))
    assert set(spectrum.to_dict()) <= set(full.to_dict())


def test_the_published_rule_takes_noise_for_terms(key):
    design = masks.coded_design(key, 60, 5, 3, groups=12)
    y = values_at(design, {}, sigma=1.0, seed=4)
    ours, _ = spex.decode(design, y)
    published, _ = spex.decode(design, y, PeelConfig(accept="published", max_rounds=5))
    assert int(published.valid.sum()) > int(ours.valid.sum()) + 4


def test_groups_that_are_left_out_are_not_looked_at(design):
    terms = planted(8)
    y = np.array(values_at(design, terms))
    part = len(y) // 3
    active = jnp.array([True, False, True])
    found, _ = spex.search(design, jnp.asarray(y)[:, None], PeelConfig(), active)
    y[part : 2 * part] = np.random.default_rng(0).standard_normal(part)
    again, _ = spex.search(design, jnp.asarray(y)[:, None], PeelConfig(), active)
    chex.assert_trees_all_equal(found, again)
    assert int(found.valid.sum()) == len(terms)


def test_outputs_with_own_supports_equal_scalar_runs(design):
    columns = [values_at(design, planted(10, s), 0.2, s) for s in range(3)]
    y = jnp.stack(columns, axis=1)
    mapped, info = spex.decode(design, y)
    lockstep, _ = spex.decode(design, y, batch="vmap")
    chex.assert_shape(info.rounds, (3,))
    for i, column in enumerate(columns):
        alone = spex.decode(design, column)[0].to_dict()
        for spectra in (mapped, lockstep):
            together = spectra[i].to_dict()
            assert set(together) == set(alone)
            assert all(abs(together[k] - alone[k]) < 1e-5 for k in alone)


@pytest.mark.parametrize("K", [2, 100])
def test_a_shared_support_is_found_from_the_summed_energy(design, K):
    rng = np.random.default_rng(0)
    sets = list(planted(10, 7))
    weights = rng.standard_normal((len(sets), K))
    y = jnp.stack(
        [
            values_at(design, dict(zip(sets, w, strict=True)), 0.1, i)
            for i, w in enumerate(weights.T)
        ],
        axis=1,
    )
    spectrum, _ = spex.decode(design, y, shared_support=True)
    chex.assert_shape(spectrum.supports, (spectrum.capacity, 2))
    chex.assert_shape(spectrum.coefficients, (K, spectrum.capacity))
    found = spectrum[1].to_dict()
    assert set(found) == set(sets)
    assert all(abs(found[k] - w) < 0.05 for k, w in zip(sets, weights[:, 1], strict=True))


def test_the_same_values_give_the_same_bits(design):
    y = values_at(design, planted(30, 8), sigma=0.5)
    first, again = spex.decode(design, y), spex.decode(design, y)
    chex.assert_trees_all_equal(first, again)


def assert_scaled(spectrum, terms, scale, offset=0.0):
    found = spectrum.to_dict()
    assert set(found) == set(terms)
    for k in terms:
        expected = scale * terms[k] + (offset if k == () else 0.0)
        assert found[k] == pytest.approx(expected, rel=1e-6, abs=1e-4 * scale)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
def test_the_scale_does_not_matter(design, scale):
    terms = planted(12)
    y = oracles.evaluate(terms, design.masks())
    spectrum, info = spex.decode(design, scale * y)
    assert_scaled(spectrum, terms, scale)
    assert int(info.undecoded_bins) == 0 and float(info.residual_energy) < 1e-8
    joint, _ = spex.decode(design, np.stack([scale * y, 2 * scale * y], 1), shared_support=True)
    assert_scaled(joint[0], terms, scale)


def test_powers_of_two_change_no_bit(design):
    y = values_at(design, planted(20, 2), sigma=0.3)
    one, scaled = (spex.decode(design, s * y)[0] for s in (1.0, 2.0**80))
    chex.assert_trees_all_equal(one.supports, scaled.supports)
    chex.assert_trees_all_equal(one.coefficients, scaled.coefficients / 2.0**80)


@pytest.mark.parametrize("dtype,offset", [(np.float32, 1e4), (np.float64, 1e9)])
def test_the_offset_does_not_matter(design, dtype, offset):
    terms = planted(12)
    y = (offset + oracles.evaluate(terms, design.masks())).astype(dtype)
    spectrum, _ = spex.decode(design, y)
    found = {k: v for k, v in spectrum.to_dict().items() if abs(v) > 0.01}
    assert set(found) == set(terms)
    error = 1e-4 if dtype == np.float64 else 1e-3  # half a unit of the last place at 10⁴
    assert all(abs(found[k] - terms[k]) < error for k in terms if k)
    assert found[()] == pytest.approx(offset + terms[()], rel=1e-7)


def test_a_spectrum_of_a_vmapped_decode_is_indexed(design):
    y = jnp.stack([values_at(design, planted(10, s), 0.2, s) for s in range(2)])
    spectra, _ = jax.vmap(lambda v: spex.decode(design, v))(y)
    alone = spex.decode(design, y[1])[0]
    assert set(spectra[1].to_dict()) == set(alone.to_dict())
    np.testing.assert_allclose(
        spectra[1].predict(design.masks(0, 9)), alone.predict(design.masks(0, 9)), atol=1e-5
    )
    # A leading axis of calls before that of outputs.
    shared, _ = jax.vmap(lambda v: spex.decode(design, v, shared_support=True))(y[:, :, None])
    chex.assert_shape(shared[1].coefficients, (1, shared.capacity))
    assert set(shared[1][0].to_dict()) == set(alone.to_dict())


def test_decode_is_not_differentiated(design):
    y = values_at(design, planted(4))
    energy = lambda v: spex.decode(design, v)[0].energy()  # noqa: E731
    for derivative in (jax.grad(energy), jax.jit(jax.grad(energy))):
        with pytest.raises(TypeError, match=r"decode has no derivative.*spectrum\.predict"):
            derivative(y)
    with pytest.raises(TypeError, match="decode has no derivative"):
        jax.jvp(lambda v: spex.decode(design, v)[0].coefficients, (y[:, None],), (y[:, None],))


def test_errors_name_the_argument(design):
    with pytest.raises(ValueError, match=f"values must have shape \\({design.num_masks},\\)"):
        spex.decode(design, jnp.zeros(7))
    with pytest.raises(ValueError, match="values must be real"):
        spex.decode(design, np.zeros(design.num_masks, complex))
    with pytest.raises(ValueError, match="batch must be"):
        spex.decode(design, jnp.zeros(design.num_masks), batch="pmap")
    with pytest.raises(ValueError, match="decoder must be one of soft, hard"):
        PeelConfig(decoder="medium")
    with pytest.raises(ValueError, match="false_alarm must be between 0 and 1"):
        PeelConfig(false_alarm=1.0)


@pytest.mark.parametrize("n", [20, 60])
def test_a_design_of_wider_words_finds_the_same_bits(n):
    design = masks.coded_design(jax.random.key(1, impl="threefry2x32"), n, 4, 3, 3)
    wide = coded.widened(design, 4)
    assert wide.shifts.shape[-1] == 4 > design.shifts.shape[-1]
    np.testing.assert_array_equal(wide.masks(), design.masks())
    rng = np.random.default_rng(n)
    y = values_at(design, oracles.planted_terms(n, 10, 0, range(1, 4)), sigma=0.2)[:, None]
    active = rng.permutation([True, True, False])
    narrow, broad = (jax.jit(spex.search, static_argnums=2)(d, y, PeelConfig(), active)
                     for d in (design, wide))  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, broad, narrow)
    assert int(narrow[0].valid.sum()) > 5
