"""A small Llama that looks up facts in its context: its folder, its data, its training."""
