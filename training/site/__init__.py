"""A hospital's studies and reports become a de-identified training store."""
