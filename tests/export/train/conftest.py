"""Fixtures shared by the training tests."""

from training import checkpoint, data, images, model, small_config, tokenizer, tokenizer_model  # noqa: F401
