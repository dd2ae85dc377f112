"""The model: vision tower, projector, language model, checkpoints, generation."""
