"""What wants a person: which alarms there are, who is told of them, and when."""
