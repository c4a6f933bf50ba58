"""The engines that compute a bundle's programs on this machine."""
