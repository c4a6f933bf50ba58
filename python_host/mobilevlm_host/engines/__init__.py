"""What computes a bundle's programs on this machine."""
