"""Slices become a volume: a series is chosen, its slices form a stack, the stack is built.

Nothing here knows a model. Geometry and the reasons for refusing a series are decided in this
room only.
"""
