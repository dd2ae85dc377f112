"""Who may do what: passwords, sessions, and the one gate that every route stands behind."""
