"""A finished run becomes a checkpoint with a model card.

What is written here is all that the engine ever sees of a training run.
"""
