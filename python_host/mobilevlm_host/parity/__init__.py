"""Compare a bundle with the fp32 model, stage by stage, on the same inputs."""
