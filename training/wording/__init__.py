"""What is asked and said of an image, as text and as tokens.

A change of words here changes what models learn; the embedded model's vocabulary is made of them.
"""
