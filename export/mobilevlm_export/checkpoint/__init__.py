"""The published layout in and out."""
