"""Training: prepare the rows, run the stages of a plan, tune on validation rows."""
