"""Whose studies an archive holds, and whether two records are of one patient."""
