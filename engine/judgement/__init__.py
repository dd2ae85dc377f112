"""Judging what a model wrote: where in the images a sentence comes from.

The texts themselves are never changed here. `inference` opens these doors; what is found leaves
as the plain values of `engine.protocol`.
"""
