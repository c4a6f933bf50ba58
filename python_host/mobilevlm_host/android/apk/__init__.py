"""Checks what no desktop can run: whether the engine packed in an Android app has all that a bundle's program asks of it."""
