"""Training: run the stages of a plan."""
