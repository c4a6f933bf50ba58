"""Run the paper's benchmarks on a checkpoint or a bundle."""
