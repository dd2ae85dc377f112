"""Phantoms more like CT: more anatomy, eleven findings, look-alikes, scanners and regions.

They stand beside the plain phantoms, which the embedded model was trained on, and will take their
place when there are weights that were trained on these.
"""
