"""Llama and its kin beside transformers on PyTorch; skipped where they are not installed."""

import warnings

import jax
import numpy as np
import pytest

from spexjax.models.llama.generate import greedy
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.llama.weights import load_llama, save_llama

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch and transformers warn on import
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16, "rope_theta": 500.0,
}  # fmt: skip
CASES = {
    "llama": ("Llama", {}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "one head for all": ("Llama", {"num_key_value_heads": 1}),
    "a head each": ("Llama", {"num_key_value_heads": 4}),
    "biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "wide heads": ("Llama", {"head_dim": 16, "rms_norm_eps": 1e-5}),
    "llama 3 positions": ("Llama", {"rope_parameters": LLAMA3}),
    "linear positions": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0}},
    ),
    "mistral": ("Mistral", {"sliding_window": 5}),
    "mistral, no window": ("Mistral", {"sliding_window": None, "head_dim": 8}),
    "qwen 2": ("Qwen2", {}),
    "qwen 2, windows": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen 3": ("Qwen3", {"head_dim": 16}),
    "qwen 3, biases": (
        "Qwen3",
        {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True},
    ),
}


def model_of(case):
    name, settings = CASES[case]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SMALL, **settings})
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():  # the default initialization leaves logits all but constant
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("case", CASES)
def test_logits(case, tmp_path):
    model = model_of(case)
    model.save_pretrained(tmp_path)
    ids = np.random.default_rng(0).integers(3, 97, (4, 21), dtype=np.int32)
    with torch.no_grad():
        want = model(torch.tensor(ids, dtype=torch.long)).logits.numpy()
    config, params = load_llama(tmp_path)
    hidden, _ = jax.jit(Llama(config).apply)({"params": params}, ids)
    assert want.std() > 0.1
    np.testing.assert_allclose(unembed(config, params, hidden), want, atol=1e-4)
    # Ours, saved in two files, means the same to transformers.
    save_llama(tmp_path / "ours", config, params, shard_bytes=20_000)
    again = type(model).from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        found = again(torch.tensor(ids, dtype=torch.long)).logits.numpy()
    np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.parametrize("case", ["llama", "mistral", "qwen 3"])
def test_greedy(case, tmp_path):
    model = model_of(case)
    model.save_pretrained(tmp_path)
    prompts = [[5, 9, 33, 7], [11], [60, 61, 62, 63, 64, 65, 66, 67, 68]]
    config, params = load_llama(tmp_path)
    found = greedy(config, params, prompts, 64, stop=())
    for prompt, new in zip(prompts, found, strict=True):
        with torch.no_grad():
            want = model.generate(
                torch.tensor([prompt]), max_new_tokens=64, min_new_tokens=64, do_sample=False,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
        assert len(set(new)) > 3
        assert new == want[0, len(prompt) :].tolist()
