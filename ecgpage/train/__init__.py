"""Training: one script a network, each readable from top to bottom."""
