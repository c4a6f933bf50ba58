"""Check, without running it, whether the engine in an Android app has everything that a bundle's program needs."""
