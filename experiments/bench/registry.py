"""The benchmarks by name."""

from collections.abc import Callable

from spexjax.experiments.bench import (
    baselines,
    boosting,
    budget,
    coverage,
    decode,
    indices,
    inference,
    llama,
    refit,
    regression,
    transforms,
    words,
)

BENCHES: dict[str, Callable[[list[str] | None], None]] = {
    "baselines": baselines.main,
    "boosting": boosting.main,
    "budget": budget.main,
    "coverage": coverage.main,
    "decode": decode.main,
    "indices": indices.main,
    "inference": inference.main,
    "llama": llama.main,
    "refit": refit.main,
    "regression": regression.main,
    "transforms": transforms.main,
    "words": words.main,
}
