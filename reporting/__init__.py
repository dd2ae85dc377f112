"""A generation becomes a draft; a draft becomes a DICOM Structured Report."""
