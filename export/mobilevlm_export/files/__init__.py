"""Reading and writing files safely, whatever is in them."""
