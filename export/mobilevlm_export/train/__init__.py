"""The paper's training recipe: a frozen vision tower, then projector and language model in two stages."""
