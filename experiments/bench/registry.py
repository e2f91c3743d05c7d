"""The benchmarks by name."""

from spexjax.experiments.bench import (
    baselines,
    boosting,
    budget,
    cold,
    coverage,
    decode,
    errors,
    indices,
    inference,
    llama,
    refit,
    regression,
    transforms,
    words,
)
from spexjax.experiments.bench.benchmark import Benchmark

BENCHES: dict[str, Benchmark] = {
    "baselines": baselines,
    "boosting": boosting,
    "budget": budget,
    "cold": cold,
    "coverage": coverage,
    "decode": decode,
    "errors": errors,
    "indices": indices,
    "inference": inference,
    "llama": llama,
    "refit": refit,
    "regression": regression,
    "transforms": transforms,
    "words": words,
}
