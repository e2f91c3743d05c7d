"""Loaders of data sets, which read strictly."""
