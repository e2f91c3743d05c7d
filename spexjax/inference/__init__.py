"""How far numbers may be off: standard errors, intervals, tests, nulls and flags."""
