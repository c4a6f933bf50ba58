"""What the kit uses of its dependencies that they promise nothing about: one module for each of them."""
