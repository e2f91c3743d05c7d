"""Llama and the families that share its shape, in Flax."""

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.model import Llama, init_params, unembed
from spexjax.models.llama.weights import load_llama, read_llama_config, save_llama

__all__ = [
    "LanguageModel",
    "Llama",
    "LlamaConfig",
    "init_params",
    "load_language_model",
    "load_llama",
    "read_llama_config",
    "save_llama",
    "unembed",
]
