"""How each kind of checkpoint folder is laid out; one file for each kind.

A layout turns a folder into a `Description` and knows nothing about loading.
"""
