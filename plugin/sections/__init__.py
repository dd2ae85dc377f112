"""Tables of the settings file, each with what may stand in it."""
