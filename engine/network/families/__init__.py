"""The model families: each joins its tower to its language model as its authors did."""
