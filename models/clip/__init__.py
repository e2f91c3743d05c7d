"""CLIP in Flax: how well a caption fits an image."""
