"""The benchmarks by name."""

from spexjax.experiments.bench import (
    baselines,
    boosting,
    budget,
    cold,
    coverage,
    decode,
    discoveries,
    errors,
    indices,
    inference,
    llama,
    refit,
    regression,
    retraining,
    salmon,
    shapley_values,
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
    "discoveries": discoveries,
    "errors": errors,
    "indices": indices,
    "inference": inference,
    "llama": llama,
    "refit": refit,
    "regression": regression,
    "retraining": retraining,
    "salmon": salmon,
    "shapley-values": shapley_values,
    "transforms": transforms,
    "words": words,
}
