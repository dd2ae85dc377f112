"""The words of `ctscribe prepare`, `train` and `eval`, found through the entry points.

The work is done in the other rooms.
"""
