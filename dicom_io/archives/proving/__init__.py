"""Whether an archive really holds what it was sent."""
