"""What a model is measured in: reports, questions, retrieval, and phantoms."""
