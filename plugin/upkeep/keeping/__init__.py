"""What is kept and what is deleted, and how deleting is done so that nothing is half gone."""
