"""Data preparation, the three training stages, evaluation, export."""
