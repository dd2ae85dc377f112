"""`ctscribe demo`: a phantom, an archive of its own, and the page with its draft."""
