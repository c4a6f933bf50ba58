"""Compare the kit with llama.cpp on the same weights, in the same run."""
