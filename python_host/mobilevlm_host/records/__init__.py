"""Record the results of each stage on one machine, and recompute them on another."""
