"""Evaluation: the tables of the paper and a score of findings (docs/evaluation.md)."""
