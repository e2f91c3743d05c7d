"""Are models told apart from models that learned nothing? The dead salmon of interpretability.

``python -m spexjax.experiments salmon`` compares the shipped sentiment model and the shipped
two-hop language model with R of the same configuration and random parameters, by
``spexjax.inference.model_null``: their p-values for the R² of sets of up to two inputs and for the
strongest pair. Then, ``trials`` times, one random model with others: these p-values must be
uniform, which a Kolmogorov–Smirnov test judges.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.stats import kstest

import spexjax as sx
from spexjax.experiments.reporting.rows import Rows
from spexjax.inference import ModelNull, explained_variance, model_null, strongest
from spexjax.inference.nulls import Statistic
from spexjax.models.bert import load_classifier
from spexjax.models.llama import LanguageModel, load_language_model
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.values.language import language_value
from spexjax.models.values.text import value_function
from spexjax.typing import Key

TEXT = "It never fails to be moving and funny"
SENTENCES = 8
STATISTICS = {"R² to order 2": explained_variance(2), "strongest pair": strongest("FBII", 2)}


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    trials: int = 100
    """Random models that are compared with others."""
    models: int = 99
    """R, random models beside the shipped one."""
    others: int = 19
    """Random models beside each of the trials'."""


def sentiment() -> tuple[Any, Callable[[Key], Any]]:
    """The value function of the shipped classifier, and of random ones."""
    model = load_classifier()
    return value_function(model, TEXT), lambda key: value_function(model.randomised(key), TEXT)


def two_hop() -> tuple[Any, Callable[[Key], Any]]:
    """The log-probability of the right answer by the shipped language model, and by random ones."""
    model = load_language_model()
    for example in held_out_examples(0, SENTENCES, 2):
        if language_value(model, example.context, example.question).answer == example.answer:
            break

    def value(model: LanguageModel) -> Any:
        return language_value(model, example.context, example.question, example.answer)

    return value(model), lambda key: value(model.randomised(key))


def rows(config: Config) -> Iterator[tuple]:
    """A row for each model and statistic; every model is explained once, by all its masks."""
    for name, load in (("sentiment", sentiment), ("two-hop", two_hop)):
        f, make = load()
        count = config.models + config.trials * (config.others + 1)
        keys = jax.random.split(jax.random.key(0), count)
        shipped, random = explain(f), [explain(make(key)) for key in keys]
        for what, statistic in STATISTICS.items():
            null = compare(shipped, random[: config.models], statistic)
            trials = [
                compare(first, others, statistic).p_value
                for first, *others in batched(random[config.models :], config.others + 1)
            ]
            # Uniform on 1/20, 2/20, …: made continuous by what lies between the steps.
            between = np.random.default_rng(0).random(len(trials)) / (1 + config.others)
            uniform = kstest(np.array(trials) - between, "uniform").pvalue
            largest = float(null.null.max())
            yield name, what, null.statistic, largest, null.p_value, float(uniform)


def explain(f: Any) -> sx.Explanation:
    """By all 2^n masks."""
    return sx.explain(f, budget=2**f.n, method="exact")


def compare(
    one: sx.Explanation, others: Sequence[sx.Explanation], statistic: Statistic
) -> ModelNull:
    """``model_null`` of explanations that are there."""
    return model_null(lambda e: e, one, lambda e: e, others, statistic)


def batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive groups."""
    return (items[start : start + size] for start in range(0, len(items), size))


def run(config: Config) -> Rows:
    """The rows."""
    return Rows(
        f"Shipped models beside {config.models} random ones, {config.trials} trials of random ones",
        {
            "model": "<9", "statistic": "<14", "shipped": ">7.3f", "random, most": ">12.3f",
            "p": ">6.3f", "uniform, p": ">10.3f",
        },
        rows(config),
    )  # fmt: skip
