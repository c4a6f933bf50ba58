"""A user's picture → RGB pixels."""
