"""The kit beside llama.cpp, on the same weights, in the same run."""
