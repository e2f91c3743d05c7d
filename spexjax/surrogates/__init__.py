"""From candidate sets to a cross-validated fit: proposals, candidate fits, stacking."""
