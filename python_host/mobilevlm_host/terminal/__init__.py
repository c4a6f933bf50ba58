"""Terminal handling for all commands: progress, tables, JSON, one-line errors, streams and signals."""
