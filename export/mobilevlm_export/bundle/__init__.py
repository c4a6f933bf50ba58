"""Bundles, which phones load: artifacts, tokenizer and manifest in a folder or a zip."""
