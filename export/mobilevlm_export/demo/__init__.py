"""The demo: synthetic scenes, questions about them, and a tiny MobileVLM V2 trained on both."""
