"""What a stage trains, as it is before the first step: its network and its data."""
