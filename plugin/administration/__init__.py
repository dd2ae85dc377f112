"""What an administrator asks of a service and does to it, on the command line and in the browser.

Nothing here prints, and nothing here knows of HTTP: both are put around the same functions.
"""
