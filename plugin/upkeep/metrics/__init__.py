"""What Prometheus gets: figures of the database, and the server that gives them."""
