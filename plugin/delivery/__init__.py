"""A draft reaches its destinations and is found there again.

The database says what is due; a delivery ends only with a proof or an alert.
"""
