"""What runs a stage: steps, states on disk, processes, progress."""
