"""What taskgraft plugins need of transformers. A library: it has no entry point of its own."""
