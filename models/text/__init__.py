"""Text → features → masked rows of tokens."""
