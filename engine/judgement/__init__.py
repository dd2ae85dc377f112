"""Judging what a model wrote: where in the images a sentence comes from, how sure it is.

The texts themselves are never changed here. `inference` opens these doors; what is found leaves
as the plain values of `engine.protocol`.
"""
