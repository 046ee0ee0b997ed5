"""`python -m pgmon`."""

from pgmon.cli import main

main(prog_name="pgmon")
