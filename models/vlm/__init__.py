"""Vision–language models in Flax: SmolVLM and Idefics3, LLaVA."""
