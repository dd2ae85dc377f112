"""Recipes: everything that decides a training run, and those that come along.

A key that is not checked here does not exist.
"""
