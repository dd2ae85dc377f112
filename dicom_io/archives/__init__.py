"""Other systems that keep DICOM objects: one class for each kind of peer, all with the same verbs.

Peers fail in many ways; their answers become our errors here, and nowhere else.
"""
