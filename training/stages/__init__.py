"""The stages of the paper, each run from its start to its checkpoint."""
