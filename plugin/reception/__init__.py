"""Objects arrive: listener, upper layer, C-STORE into the spool, group commit, intake.

The receiver loads no model code. What it acknowledges is on disk and in the database first.
"""
