"""A page on this machine on which a person reads the cleaned reports, and a log of what was read.

Everything it shows identifies. It listens on loopback only, to whoever has its one-time token.
"""
