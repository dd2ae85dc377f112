"""The stages of the paper, each as a task for `training.run`."""
