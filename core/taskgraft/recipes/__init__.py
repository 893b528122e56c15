"""Recipe files: TOML, YAML or JSON, and overrides of single settings."""
