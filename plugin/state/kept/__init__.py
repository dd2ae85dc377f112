"""What else is kept of a study or a person, each in tables of its own."""
