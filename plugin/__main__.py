"""`python -m plugin` is `ctscribe`: so the service starts its own processes."""

from plugin.cli import main

main(prog_name="ctscribe")
