"""DICOM in and out: read, choose, order, build volumes, resample, phantoms."""
