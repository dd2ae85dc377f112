"""How results are laid out: tables, the paper's own beside them, and plots."""
