"""The built-in baselines, fitted on the same training rows as the model. None imports numpy until it is called."""
