"""`ctscribe doctor`: an installation is examined, and what to change is said."""
