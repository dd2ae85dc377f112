"""Phantoms as training data: their stores, their texts and questions, and where findings lie."""
