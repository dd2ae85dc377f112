"""Files become slices: headers are read and converted, passes told apart, pixels turned into HU.

This is the one border: whatever an object holds, it costs no more than its own images.
"""
