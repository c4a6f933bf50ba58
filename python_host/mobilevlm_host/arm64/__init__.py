"""Run a bundle's program on a phone's instruction set: ExecuTorch's ARM library under user-mode emulation."""
