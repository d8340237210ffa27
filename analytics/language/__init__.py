"""Questions in words: a deterministic grammar over the workspace's own names."""
