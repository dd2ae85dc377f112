"""Questions whose answers the headers or simple statements of a report give.

What is not certain is not asked.
"""
