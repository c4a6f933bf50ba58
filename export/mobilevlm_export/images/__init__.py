"""An image file → RGB pixels."""
