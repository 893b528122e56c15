"""The strategies that the core brings. Each is a pure function over descriptions; none imports torch."""
