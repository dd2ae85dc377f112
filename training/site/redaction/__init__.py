"""Free text without the patient: identifiers are found, replaced by placeholders, and reviewed.

A person sees every change before a data set is built.
"""
