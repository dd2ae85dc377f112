"""Synthetic CT studies with known truth, for the demo, the tests and the embedded model.

Nothing of a real patient is in them. A change of what is drawn makes the embedded model's figures
stale.
"""
