"""Training points as features: masks → weights → trained models, journalled and repeatable."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import spexjax as sx
from spexjax.models import training
from spexjax.models.training import scores
from spexjax.models.training import value as module
from spexjax.models.training.groups import membership
from spexjax.models.training.training import Recipe, batches, cross_entropy, train_model
from spexjax.values import ValueFunctionError

pytestmark = pytest.mark.loose_promotion
POINTS, CLASSES = 18, 3


def data(seed=0, points=POINTS, spread=0.6):
    """Three clouds in four dimensions."""
    rng = np.random.default_rng(seed)
    y = np.arange(points) % CLASSES
    centres = np.random.default_rng(9).normal(size=(CLASSES, 4))
    return (centres[y] + spread * rng.normal(size=(points, 4))).astype(np.float32), y


TRAIN, TEST = data(), data(1, 6)


def value(**options):  # with decay, which would shrink a model of no data
    learner = training.mlp((4,), CLASSES, (5,))
    return training.data_value(
        *learner,
        **{"train": TRAIN, "test": TEST, "steps": 20, "decay": 0.01, "at_once": 4, **options},
    )


@pytest.fixture(scope="module")
def f():
    return value()


def masks_of(n, count, seed=0):
    return np.random.default_rng(seed).random((count, n)) < 0.5


def adam(slope, p, m, v, t, rate):
    """One step by the definition, in NumPy."""
    m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
    return p - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


@pytest.mark.parametrize("batch", [None, 7])
def test_a_model_is_trained_as_by_hand(batch):
    """Multinomial logistic regression in NumPy, on the kept points only."""
    learner, decay, rate, steps = training.logistic_regression((4,), CLASSES), 0.01, 0.05, 12
    recipe = Recipe(*learner, cross_entropy, optax.adam(rate), steps, batch, decay)
    kept = masks_of(POINTS, 1, 3)[0]
    key = jax.random.key(5)
    x, y = TRAIN
    found = train_model(recipe, x, y, jnp.asarray(kept, jnp.float32), key)

    first, order = jax.random.split(key)
    dense = jax.device_get(learner.init(first))["Dense_0"]
    theta = np.concatenate([dense["kernel"], dense["bias"][None]]).astype(float)
    m = v = np.zeros_like(theta)
    rows = np.tile(np.arange(POINTS), (steps, 1))
    if batch is not None:
        rows = np.asarray(batches(order, POINTS, batch, steps))
    design = np.concatenate([x, np.ones((POINTS, 1))], axis=1)
    for t, chosen in enumerate(rows, 1):
        chosen = chosen[kept[chosen]]
        z = design[chosen] @ theta
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(chosen)), y[chosen]] -= 1
        size = kept.sum() * len(rows[0]) / POINTS
        slope = design[chosen].T @ p / size + decay * theta
        theta, m, v = adam(slope, theta, m, v, t, rate)
    dense = found["Dense_0"]
    got = np.concatenate([dense["kernel"], dense["bias"][None]])
    np.testing.assert_allclose(got, theta, rtol=2e-3, atol=2e-4)


def test_every_point_has_its_turn_in_an_epoch():
    order = np.asarray(batches(jax.random.key(0), 12, 4, 7))
    assert order.shape == (7, 4)
    for start in (0, 3):
        assert sorted(order[start : start + 3].reshape(-1)) == list(range(12))
    assert not np.array_equal(order[:3], order[3:6])


def test_what_a_mask_leaves_out_does_not_matter(f):
    masks = masks_of(POINTS, 3)
    masks[:, 0] = False
    moved = TRAIN[0].copy()
    moved[0] += 100
    other = value(train=(moved, TRAIN[1]))
    np.testing.assert_array_equal(f(masks), other(masks))
    assert np.abs(f(~masks) - other(~masks)).max() > 0.1


def test_values_do_not_depend_on_what_else_is_asked_for(f):
    masks = masks_of(POINTS, 70)
    together = f(masks)
    assert together.shape == (70, 6) and together.dtype == np.float32
    np.testing.assert_array_equal(f(masks[::-1])[::-1], together)
    np.testing.assert_array_equal(f(masks[66:67]), together[66:67])


def test_no_data_is_the_untrained_model_and_a_class_may_be_missing(f):
    nothing = f(np.zeros((1, POINTS), bool))[0]
    recipe = f.asked.recipe
    untrained = recipe.init(jax.random.split(f.keys[0])[0])
    logits = np.array(recipe.apply(untrained, TEST[0]))
    right = logits[np.arange(6), TEST[1]]
    logits[np.arange(6), TEST[1]] = -np.inf
    np.testing.assert_allclose(nothing, right - logits.max(1), rtol=1e-5)
    without = f((TRAIN[1] != 0)[None])[0]
    assert np.isfinite(without).all() and (without[TEST[1] == 0] < 0).all()


def test_groups_are_their_points(f):
    groups = training.within_classes(TRAIN[1], 6)
    assert sorted(i for group in groups for i in group) == list(range(POINTS))
    assert all(len(set(TRAIN[1][g])) == 1 and len(g) == 3 for g in groups)
    masks = masks_of(6, 5)
    by_point = np.zeros((5, POINTS), bool)
    for i, group in enumerate(groups):
        by_point[:, group] = masks[:, [i]]
    np.testing.assert_array_equal(value(groups=groups)(masks), f(by_point))
    np.testing.assert_array_equal(value(groups=membership(groups, POINTS))(masks), f(by_point))


def test_scores_are_of_one_model():
    logits = np.random.default_rng(0).normal(size=(6, CLASSES)).astype(np.float32)
    margin, odds, loss = (
        np.asarray(scores.score(kind, logits, TEST[1], cross_entropy))
        for kind in ("margin", "log-odds", "loss")
    )
    rows = np.arange(6)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = p[rows, TEST[1]]
    np.testing.assert_allclose(odds, np.log(right / (1 - right)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, -np.log(right), rtol=1e-4)
    p[rows, TEST[1]] = 0
    np.testing.assert_allclose(margin, np.log(right / p.max(1)), rtol=1e-4, atol=1e-5)


def test_seeds_are_averaged_and_their_noise_is_measured():
    g, masks = value(seeds=3), masks_of(POINTS, 4)
    each = g.by_seed(masks)
    assert each.shape == (3, 4, 6)
    np.testing.assert_allclose(g(masks), each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(g.noise(masks), np.sqrt(each.var(0, ddof=1).mean(0)), rtol=1e-4)
    assert (g.noise(masks) > 0.01).all()
    with pytest.raises(ValueError, match="seeds of at least 2"):
        value().noise(masks)


def test_a_run_goes_on_where_it_was_killed(tmp_path, f):
    design = sx.design(POINTS, budget=200, seed=0)
    asked = []

    def counted(g):
        def h(masks):
            asked.append(len(masks))
            if stop and len(asked) > 1:
                raise KeyboardInterrupt
            return g(masks)

        h.chunk_size = g.chunk_size
        return h

    options = {"store": tmp_path / "s.sqlite", "store_key": f.store_key}
    stop = True
    with pytest.raises(KeyboardInterrupt):
        sx.evaluate(counted(f), design, **options)
    stop, before = False, asked[0]
    asked.clear()
    values = sx.evaluate(counted(value()), design, **options)
    assert sum(asked) == len(design) - before
    np.testing.assert_array_equal(values, f(design.masks()))


def test_the_store_key_tells_values_apart(f):
    assert f.store_key == value().store_key == value(at_once=2).store_key
    others = [
        value(key=1), value(steps=21), value(seeds=2), value(decay=0.1), value(batch=9),
        value(optimizer=0.02), value(optimizer=optax.sgd(0.01)), value(score="loss"),
        value(train=data(2)), value(groups=membership([[0, 1], list(range(2, POINTS))], POINTS)),
    ]  # fmt: skip
    assert len({f.store_key, *(g.store_key for g in others)}) == 11


def test_diverging_training_names_the_masks_and_keeps_the_rest():
    x = TRAIN[0].copy()
    x[0] = 1e20  # only models that see this point diverge
    g = value(train=(x, TRAIN[1]), optimizer=optax.sgd(1.0))
    design = sx.design(POINTS, budget=100, seed=0)
    masks = design.masks()
    with pytest.raises(ValueFunctionError, match=r"diverged for .* masks.*learning rate") as caught:
        sx.evaluate(g, design)
    kept = caught.value
    assert len(kept.values) == (~masks[: g.chunk_size, 0]).sum()
    assert np.isfinite(kept.values).all()
    with pytest.raises(Exception, match=r"than 1e\+30"):
        value(optimizer=1e30)(np.ones((1, POINTS), bool))


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(CLASSES)(nn.BatchNorm(use_running_average=False)(x))


def brighter_halves():
    """Images of two classes, whose left half is dark or bright."""
    y = np.arange(8) % 2
    x = np.random.default_rng(0).random((8, 8, 8, 1)).astype(np.float32)
    x[:, :, :4] += y[:, None, None, None]
    return x, y


@pytest.mark.slow
@pytest.mark.parametrize("make", [training.cnn, lambda *a: training.resnet9(*a, width=8)])
def test_images_are_learned(make):
    points = brighter_halves()
    learner = make((8, 8, 1), 2)
    g = training.data_value(
        *learner, train=points, test=points, steps=20, optimizer=0.01, at_once=2
    )  # fmt: skip
    assert (g(np.ones((1, 8), bool)) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("make", [training.cnn, training.resnet9])
def test_networks_for_images_treat_every_row_by_itself(make):
    x, _ = brighter_halves()
    learner = make((8, 8, 1), 2)
    params = learner.init(jax.random.key(0))
    together = learner.apply(params, x)
    assert together.shape == (8, 2)
    np.testing.assert_allclose(learner.apply(params, x[3:4]), together[3:4], atol=1e-4)


def test_running_means_are_refused():
    with pytest.raises(ValueError, match="keeps batch_stats"):
        training.flax_learner(Normalised(), (4,))


def test_fewer_large_models_are_trained_at_once():
    sizes = [
        value_of_width(width).asked.block for width in (1, 64, 4096)
    ]  # fmt: skip
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1] >= 1
    assert all(size & (size - 1) == 0 for size in sizes)


def value_of_width(width):
    return training.data_value(*training.mlp((4,), CLASSES, (width,)), train=TRAIN, test=TEST)


def test_a_block_that_memory_does_not_hold_is_halved(monkeypatch, f):
    whole, asked_for = module._program, []

    def scarce(devices):
        def call(asked, shared, masks):
            asked_for.append(asked.block)
            if asked.block > 2:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return whole(devices)(asked, shared, masks)

        return call

    g, masks = value(), masks_of(POINTS, 3)
    expected = f(masks)
    monkeypatch.setattr(module, "_program", scarce)
    with pytest.warns(RuntimeWarning, match="from here on 2 are"):
        found = g(masks)
    assert asked_for == [4, 2]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([[0, 1], [1, 2]], "overlap; in several are points 1"),
        ([[0], [2]], "every point; in none are points 1"),
        ([[0, 1, 2], []], "group 1 is"),
        ([[0, 1, 5]], "points 0 to 2"),
        ([[0.5, 1, 2]], "points 0 to 2"),
        (np.array([0, 1]), "3 integers"),
        (np.array([0, 2, 2]), "leave none out"),
    ],
)
def test_bad_groups_are_named(groups, words):
    with pytest.raises(ValueError, match=words):
        membership(groups, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "accuracy"}, "score must be one of"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 19}, "batch must be from 1 to the 18"),
        ({"decay": -1.0}, "decay"),
        ({"train": (TRAIN[0], TRAIN[1][:3])}, "train must be inputs"),
        ({"train": (TRAIN[0], TRAIN[1] * 1.0)}, "integers"),
        ({"train": (TRAIN[0] * np.nan, TRAIN[1])}, "finite"),
        ({"test": (TEST[0][:, :2], TEST[1])}, "train and test have inputs"),
        ({"train": (TRAIN[0], TRAIN[1] + 1)}, "label 3"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        value(**options)


def test_too_few_retrainings_are_refused():
    training.check_budget(50, 100)
    with pytest.raises(ValueError, match="at most 49 groups"):
        training.check_budget(50, 99)
    with pytest.raises(ValueError, match="3 classes to 18 points"):
        training.within_classes(TRAIN[1], 2)


def test_masks_are_checked(f):
    with pytest.raises(ValueError, match="bool of shape"):
        f(np.ones((2, POINTS)))
