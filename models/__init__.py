"""Flax ports of text models, token masking and the command line."""
