"""What each part of a model loses to each quantization scheme, and the recipe that loses least in so many bytes."""
