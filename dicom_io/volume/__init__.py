"""A series becomes a volume: files are read, a series is chosen, its slices are ordered.

Nothing here knows a model. HU values, geometry and the reasons for refusing a series
are decided in this room only.
"""
