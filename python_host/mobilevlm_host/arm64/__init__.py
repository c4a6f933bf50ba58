"""A bundle's program on the phone's instruction set: ExecuTorch's ARM library under user-mode emulation."""
