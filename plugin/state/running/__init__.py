"""What processes share as they run: who lives, the bell, a database that is down."""
