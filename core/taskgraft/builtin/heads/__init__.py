"""The built-in heads. Each needs only torch and works with every backbone that emits a layout it reads."""
