"""A bundle's program on the phone's instruction set: ExecuTorch's ARM library under user-mode emulation."""

DEFAULT_CPU = "cortex-a76"  # in phones since 2018: NEON with dot products
