"""Masks over several hosts."""
