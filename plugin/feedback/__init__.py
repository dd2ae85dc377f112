"""What becomes of drafts: models on trial beside the current one, and models that turned out bad.

Nothing here is on a draft's way: a fault costs a comparison, never a draft.
"""
