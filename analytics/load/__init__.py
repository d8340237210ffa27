"""Any file to rows: what it is, what its columns hold, batches of what fits and a list of what does not."""
