"""A complete study becomes a draft: whether it is complete, who works on it, and how the work ends.

The pipeline is the only place where engine and reporting meet.
"""
