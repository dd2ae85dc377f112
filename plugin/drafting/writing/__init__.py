"""From the files of a study to its draft, step by step."""
