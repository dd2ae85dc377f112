"""Metrics of texts by the libraries that define them, their intervals, and metrics from outside.

Each gives one figure for each sample; the tables average.
"""
