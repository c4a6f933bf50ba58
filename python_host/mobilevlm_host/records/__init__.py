"""What the stages gave on one machine, kept, and computed again."""
