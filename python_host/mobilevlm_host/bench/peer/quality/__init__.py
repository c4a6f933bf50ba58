"""Compare what the kit's recipes and llama.cpp's quantizations cost a model, at equal bytes."""
