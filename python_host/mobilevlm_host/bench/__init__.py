"""Measure how fast a bundle answers on this machine, and how much memory it needs."""
