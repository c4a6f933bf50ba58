"""What a phone loads: artifacts, tokenizer and manifest, in a folder or a zip."""
