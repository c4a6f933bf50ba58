"""Ask a bundle on the desktop, and prove that it answers as the model does."""
