"""Rules: which study gets a draft, by which model, where it goes, and how soon.

Nothing here knows the database: headers go in, a decision and its reasons come out.
"""
