"""Every way into a checkpoint: what it says of itself, its tensors, its tokenizer, and conversion.

Whatever a checkpoint carries is data: no code of it is ever run.
"""
