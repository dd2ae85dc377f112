"""Pixel data: how it is stored, whether it is what the header says, and decoding it.

Nothing here trusts a stream: it is compared with the header first, and decoded in a child process.
"""
