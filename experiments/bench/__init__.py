"""Benchmarks, mostly beside other people's implementations; ``registry`` lists them."""
