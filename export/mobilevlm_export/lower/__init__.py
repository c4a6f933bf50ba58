"""Lower a (quantized) model to the programs that phones run."""
