"""How fast a bundle answers on this machine, and how much memory that takes."""
