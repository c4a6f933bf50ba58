"""A bundle behind HTTP: OpenAI's chat API, a camera page, and what both need to share one engine."""
