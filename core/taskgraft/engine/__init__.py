"""Forward passes: the task module, caching and prediction in batches, precision, memory."""
