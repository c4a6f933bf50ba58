"""Ask a bundle: the runner and the conversation it keeps."""
