"""Findings that a text names: which, whether asserted, where, how large; and their score.

The vocabulary is `terms.toml`.
"""
