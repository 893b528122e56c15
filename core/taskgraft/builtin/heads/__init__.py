"""The heads that the core brings. Each needs torch alone and serves every backbone that emits a layout it reads."""
