"""Tests of training share their fixtures."""

from training import checkpoint, data, images, model, small_config, tokenizer, tokenizer_model  # noqa: F401
