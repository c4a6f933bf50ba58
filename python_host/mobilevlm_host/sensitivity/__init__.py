"""The accuracy that each part of a model loses to each quantization scheme, and the best recipe for a size."""
