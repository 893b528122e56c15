"""What taskgraft plugins need of the transformers library. It has no entry point of its own."""
