"""The networks as the papers draw them, each in one readable file.

Nothing here reads a file or knows where weights come from. Shapes stand beside the lines.
"""
