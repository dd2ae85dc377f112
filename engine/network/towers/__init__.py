"""Vision towers: from a volume to the tokens that a projector reads."""
