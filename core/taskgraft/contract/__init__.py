"""The contract: what plugins implement, return and receive."""
