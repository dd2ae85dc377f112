"""The service: receiver, intake, jobs, worker, delivery, settings, command line."""
