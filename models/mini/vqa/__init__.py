"""A small vision–language model that looks at coloured shapes: its folder, data and training."""
