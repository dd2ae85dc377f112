"""The memory that a stage takes on a GPU, counted before it begins.

A stage that does not fit is refused with what to change.
"""
