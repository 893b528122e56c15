"""The built-in strategies. Each is a pure function of descriptions; none imports torch."""
