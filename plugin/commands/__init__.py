"""What the commands of `ctscribe` do, one file for each.

The words of the command line stand in `plugin.cli`; here is the work.
"""
