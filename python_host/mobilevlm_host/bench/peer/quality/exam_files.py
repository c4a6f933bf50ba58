"""The names of an exam's files, which a process without torch reads."""

QUESTIONS = "questions.json"
PIXELS = "pixels.npy"  # the images, uint8 [N, S, S, 3]
EMBEDS = "embeds.npy"  # the fp32 model's embeddings of them, float32 [N, tokens, D]
