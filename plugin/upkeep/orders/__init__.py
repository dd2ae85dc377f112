"""Orders and final reports as a RIS tells them by HL7 v2: heard, acknowledged, and kept.

What is acknowledged is in the database. Drafting and delivery ask `plugin.state.kept.orders`.
"""
