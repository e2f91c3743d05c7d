"""Gaussian processes on masks: a smooth surrogate whose interaction indices have closed forms."""
