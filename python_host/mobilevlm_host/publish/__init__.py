"""Hand a bundle on: its model card, and its repository on the Hugging Face hub."""
