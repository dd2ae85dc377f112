"""A text as a reader sees it: headings, sentences, and which of them deny something."""
