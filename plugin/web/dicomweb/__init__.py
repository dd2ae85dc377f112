"""DICOMweb (PS3.18): what was received is searched, retrieved and rendered, and more is stored.

The routes are in `routes`; whoever makes the application says who may use them.
"""
