"""Other people's implementations, to be measured beside."""
