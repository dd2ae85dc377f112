"""Signed reports from SR objects, HL7 messages and tables; which of several counts.

Texts are still identified here; nothing of this room goes into a data set.
"""
