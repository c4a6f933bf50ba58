"""From a (quantized) model to what phones load."""
