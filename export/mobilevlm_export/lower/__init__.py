"""Lowering: the quantized model → what a phone's engine runs."""
