"""The reading room: pages and interfaces over HTTP.

Whatever is reached over HTTP stands here. The process that serves it imports no model code.
"""
