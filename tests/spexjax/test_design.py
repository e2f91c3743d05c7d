"""What a budget asks for, counted: with a journal no mask is paid for twice."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spexjax as sx
from spexjax import Explanation, masks, values
from spexjax.evaluate import evaluate
from spexjax.explain import explain
from spexjax.masks import sampling
from spexjax.masks.design import Role
from spexjax.store import Store, StoreError

N = 40


class Counted:
    """Remembers the masks that it was asked for, one list per run."""

    store_key = "counted"

    def __init__(self, n=N):
        self.weights = np.sin(np.arange(n))
        self.runs = []

    def __call__(self, bits):
        self.runs[-1].extend(map(bytes, np.packbits(bits, axis=1)))
        return bits @ self.weights


@pytest.fixture
def f():
    return Counted()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


def ask(f, path, key, budget, n=N, **plan):
    """One run; returns the design, the values and the set of masks."""
    f.runs.append([])
    plan = masks.plan_budget(n, budget, **plan)
    coded = None
    if plan.b is not None:
        coded = masks.coded_design(key, n, plan.b, plan.t, plan.groups)
    design = sampling.sample(key, n, budget, 5, plan.held_out, coded=coded)
    assert len(design) <= budget
    answers = evaluate(f, design, chunk_size=128, store=path)
    return design, answers, set(map(bytes, np.packbits(design.masks(), axis=1)))


def paid(f, run=-1):
    assert len(set(f.runs[run])) == len(f.runs[run])
    return set(f.runs[run])


def smallest(b, t=2):
    """The smallest budget that affords 2^b bins."""
    budget = masks.design_cost(N, b, t)
    while masks.plan_budget(N, budget, t).b != b:
        budget += 1
    return budget


def test_growing_by_one_bit_pays_for_the_new_masks_only(f, path, key):
    small, large = smallest(3), smallest(4)
    first, _, asked = ask(f, path, key, small, t=2)
    assert (first.coded.b, len(first), paid(f)) == (3, small, asked)
    second, values, wanted = ask(f, path, key, large, t=2)
    assert (second.coded.b, len(second)) == (4, large)
    assert paid(f) == wanted - asked
    # All coded masks are reused, and of the uniform ones as many as the larger plan has.
    coded = set(map(bytes, np.packbits(first.coded.masks(), axis=1)))
    assert coded <= wanted and asked - wanted <= asked - coded
    again, same, _ = ask(f, path, key, large, t=2)
    assert paid(f) == set()
    np.testing.assert_array_equal(again.packed, second.packed)
    np.testing.assert_array_equal(same, values)


def test_uniform_masks_keep_their_prefix_as_the_coded_part_grows(f, path, key):
    _, _, asked = ask(f, path, key, smallest(3) + 200, t=2)
    _, _, wanted = ask(f, path, key, 2 * smallest(4) + 400, t=2)
    assert asked <= wanted  # more uniform masks than before: none of the old is dropped
    assert len(paid(f)) == len(wanted) - len(asked)


def test_a_longer_uniform_stream_pays_for_its_end_only(f, path, key):
    _, _, asked = ask(f, path, key, 1000, coded=False)
    _, _, wanted = ask(f, path, key, 4000, coded=False)
    assert (len(asked), len(paid(f)), len(wanted)) == (1000, 3000, 4000)
    assert asked < wanted


def test_methods_share_what_they_have_in_common(f, path, key):
    _, _, uniform = ask(f, path, key, 600, coded=False)
    _, _, coded = ask(f, path, key, smallest(3) + 100, t=2)
    assert paid(f) == coded - uniform
    assert len(coded & uniform) > 100


def test_small_cubes_run_out_of_masks(tmp_path, key):
    f = Counted(10)
    path = tmp_path / "calls.sqlite"
    union = set()
    for budget in (100, 500, 1000, 1024):
        _, _, wanted = ask(f, path, key, budget, n=10, t=2, b=3)
        assert paid(f) == wanted - union
        union |= wanted
    assert len(union) == 1024


def test_the_values_are_those_of_a_run_without_a_journal(f, path, key):
    ask(f, path, key, 500, coded=False)
    design, stored, _ = ask(f, path, key, smallest(3), t=2)
    np.testing.assert_array_equal(stored, evaluate(f, design))


def test_stored_values_join_if_asked_and_cost_nothing(path):
    f = Counted(10)
    f.runs.append([])
    explain(f, 10, budget=600, method="linear", store=path)
    f.runs.append([])
    plain, joined = (
        explain(f, 10, budget=300, method="linear", seed=1, store=path, store_join=join)
        for join in (False, True)
    )
    assert len(paid(f)) < 300 and joined.calls == plain.calls == 300
    lasso = [
        explain(f, 10, budget=300, method="lime", seed=1, store=path, store_join=join)
        for join in (False, True)
    ]
    assert lasso[0].spectrum.to_dict() == lasso[1].spectrum.to_dict()


def test_the_smallest_budget_that_is_named_is_enough():
    for n in (33, 40, 64):
        with pytest.raises(sx.masks.BudgetError, match="budget must be at least") as caught:
            sx.design(n, budget=100, method="spex")
        least = int(re.search(r"at least (\d+)", str(caught.value))[1])
        assert sx.design(n, budget=least, method="spex").coded.b == 3
        with pytest.raises(ValueError, match=f"at least {least} "):
            sx.design(n, budget=least - 1, method="spex")


def test_rows_say_what_they_are_for(key):
    design = sx.design(40, budget=smallest(3), method=sx.Spex(t=2), seed=key)
    coded = design.coded
    rows = design.packed[design.coded_rows]
    np.testing.assert_array_equal(rows, coded.packed())
    place = np.arange(coded.num_masks)
    where = design.coded_rows
    inner = design.role[where] == Role.CODED
    np.testing.assert_array_equal(design.unit[where[inner]], (place // 2**coded.b)[inner])
    assert (design.role[:2] == Role.ENDPOINT).all()
    assert design.masks(0, 2).sum(axis=1).tolist() == [40, 0]
    uniform = design.role == Role.UNIFORM
    assert design.held_out[uniform].sum() == design.held_out.sum() > 0
    assert "coded" in repr(design) and "\n" not in repr(design)
    pairs = sx.design(40, budget=300, method="banzhaf")
    both = design_pairs(pairs)
    np.testing.assert_array_equal(both[:, 0], ~both[:, 1])


def design_pairs(design):
    """bool (pairs, 2, n), the masks that share a unit."""
    rows = np.flatnonzero(design.role == Role.PAIRED)
    order = rows[np.argsort(design.unit[rows], kind="stable")]
    return design.masks()[order].reshape(-1, 2, design.n)


@pytest.mark.parametrize("what", ["nothing", "text", "bits", "twice", "role", "code", "version"])
def test_files_that_are_no_designs_are_refused(what, tmp_path):
    path = tmp_path / "design.npz"
    sx.design(40, budget=400, method=sx.Spex(t=2), seed=1).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    if what == "bits":
        arrays["packed"] = arrays["packed"] | np.uint32([0, 1 << 31])
    elif what == "twice":
        arrays["packed"][5] = arrays["packed"][6]
    elif what == "role":
        arrays["role"][3] = 99
    elif what == "code":
        arrays["shifts"] = arrays["shifts"] ^ np.uint32([1, 0])
    elif what == "version":
        head = json.loads(str(arrays["head"])) | {"version": 2}
        arrays["head"] = np.array(json.dumps(head))
    np.savez(path, **arrays)
    if what == "text":
        path.write_text("no design")
    elif what == "nothing":
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="is not a design"):
        sx.Design.load(path)


def test_damaged_files_are_refused(tmp_path):
    """Flipped bits and cut ends: an error of one kind, or a design that is as consistent."""
    path, rng = tmp_path / "design.npz", np.random.default_rng(0)
    refused = 0
    for method in (sx.Spex(t=2), "kernelshap", "shapley-taylor"):
        sx.design(12, budget=400, method=method, max_order=2, seed=1).save(path)
        whole = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(damaged), rng.integers(1, 4)):
                damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.2
                             else damaged)  # fmt: skip
            try:
                sx.Design.load(path)
            except ValueError:
                refused += 1
    assert refused > 60


@pytest.mark.parametrize(
    "changes",
    [{"seed": [1, 2, 3]}, {"seed": 2**80}, {"seed": "x"}, {"n": 0}, {"settings": 3}, {"t": 3}],
)
def test_hostile_heads_are_refused(changes, tmp_path):
    path = tmp_path / "design.npz"
    sx.design(40, budget=400, method=sx.Spex(t=2), seed=1).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["head"] = np.array(json.dumps(json.loads(str(arrays["head"])) | changes))
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="is not a design"):
        sx.Design.load(path)


def test_all_masks_must_be_all(tmp_path):
    path = tmp_path / "design.npz"
    sx.design(6, budget=64).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for rows in (slice(32), slice(None, None, -1)):
        changed = {k: v if k == "head" else v[rows] for k, v in arrays.items()}
        np.savez(path, **changed)
        with pytest.raises(ValueError, match="not all masks in order"):
            sx.Design.load(path)


@pytest.mark.parametrize(
    "values,message",
    [
        (np.zeros(7), "one row per mask of the design"),
        (np.zeros((30, 0)), "one row per mask of the design"),
        (np.zeros(30, complex), "real numbers"),
        (np.array(["x"] * 30), "real numbers"),
        (np.full(30, np.nan), "finite"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, message):
    design = sx.design(40, budget=30, method="linear")
    with pytest.raises(ValueError, match=message):
        sx.fit(design, values)
    with pytest.raises(ValueError, match="features must have n = 40 labels"):
        sx.fit(design, np.zeros(30), features=["a"])


def test_explain_asks_the_store_first(path):
    calls = []

    def f(bits):
        calls.append(len(bits))
        return np.stack([bits[:, 0] * bits[:, 1], bits.sum(axis=1)], axis=1)

    first = explain(f, 6, budget=64, store=path, store_key="f", chunk_size=20)
    again = explain(f, 6, budget=64, store=str(path), store_key="f")
    with Store(path) as store:
        third = explain(f, 6, budget=64, store=store, store_key="f")
        assert [tuple(entry)[1:] for entry in store.functions()] == [("f", 6, 2, 64)]
    assert calls == [20, 20, 20, 4]
    assert first.calls == again.calls == third.calls == 64
    assert first[0].spectrum.to_dict() == again[0].spectrum.to_dict() == third[0].spectrum.to_dict()
    with pytest.raises(StoreError, match="needs a store_key"):
        explain(f, 6, budget=64, store=path)
    with pytest.raises(StoreError, match="for a function of 6 features, not 7"):
        explain(f, 7, budget=128, store=path, store_key="f")
    with pytest.raises(values.ValueFunctionError, match=r"are stored under its store_key"):
        explain(lambda bits: bits[:, 0] * 1.0, 5, budget=32, store=_with_pairs(path), store_key="g")


def _with_pairs(path):
    with Store(path) as store:
        store.journal("g", 5).add(np.zeros((1, 1), np.uint32), np.zeros((1, 2), np.float32))
    return path


@pytest.mark.loose_promotion
def test_joining_stored_values_helps_a_small_budget(path):
    f = Counted(24)
    f.runs.append([])
    explain(f, 24, budget=300, method="linear", store=path)
    plain, joined = (
        explain(f, 24, budget=30, method="linear", seed=1, store=path, store_join=join)
        for join in (False, True)
    )
    assert isinstance(joined, Explanation) and plain.calls == joined.calls == 30
    bits = np.random.default_rng(1).random((200, 24)) < 0.5
    error = [np.var(e.predict(bits) - bits @ f.weights) for e in (plain, joined)]
    assert error[1] < 0.01 * error[0]


def test_functions_on_the_device_are_stored_too(path):
    calls = []

    @values.on_device
    def f(bits):
        calls.append(bits.shape)
        assert isinstance(bits, jax.Array)
        return bits.astype(jnp.float32) @ jnp.arange(6, dtype=jnp.float32)

    for _ in range(2):
        e = explain(f, 6, budget=64, store=path, store_key="f", chunk_size=25)
        assert e.spectrum.to_dict()[(5,)] == pytest.approx(-2.5)
    assert calls == [(25, 6)] * 3


def test_what_a_failing_run_paid_for_is_stored(path):
    def f(bits):
        out = bits.sum(axis=1).astype(float)
        out[bits.all(axis=1)] = np.nan
        return out

    with pytest.raises(values.ValueFunctionError, match=r"63 values from before are in .*calls"):
        explain(f, 6, budget=64, store=path, store_key="f")
    repaired = []
    explain(lambda bits: repaired.append(bits) or bits.sum(axis=1), 6, budget=64, store=path,
            store_key="f")  # fmt: skip
    assert len(repaired) == 1 and repaired[0].all() and repaired[0].shape == (1, 6)


def test_ctrl_c_says_what_was_kept(path):
    def f(bits):
        if bits[0, 4]:
            raise KeyboardInterrupt
        return bits.sum(axis=1)

    with pytest.raises(values.Interrupted, match=r"16 values from before are in .*calls.sqlite"):
        explain(f, 6, budget=64, store=path, store_key="f", chunk_size=16)
    with pytest.raises(KeyboardInterrupt) as caught:
        explain(f, 6, budget=64, chunk_size=16)
    assert "16 values from before are in the exception" in str(caught.value)
    assert caught.value.values.shape == (16,)


def test_a_function_that_breaks_off_keeps_what_it_has(path):
    def f(bits):
        out = np.where(bits[:, 0], 1.0, np.nan)
        raise values.PartialValues(out, OSError("line went dead"))

    with pytest.raises(values.ValueFunctionError, match="broke off: line went dead") as caught:
        explain(f, 6, budget=64, store=path, store_key="f", chunk_size=16)
    assert len(caught.value.values) == 8
    with Store(path) as store:
        assert store.functions()[0].values == 8
