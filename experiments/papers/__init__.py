"""The papers' experiments; ``registry`` lists them."""
