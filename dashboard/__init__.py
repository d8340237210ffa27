"""The screen: one board, one component. Reads the engine through its messages and nothing else."""
