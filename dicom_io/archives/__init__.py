"""Other systems that keep DICOM objects, a module for each kind of peer.

Peers fail in many ways; their answers become our errors here, and nowhere else.
"""
