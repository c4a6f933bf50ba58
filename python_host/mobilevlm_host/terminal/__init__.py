"""What every command needs of a terminal: progress, tables, JSON, one-line errors, streams and signals."""
