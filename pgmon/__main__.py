"""`python -m pgmon`, and the command itself."""

import gc


def main() -> None:
    """Run the command line. Nothing of what is imported is garbage: not to look at it saves a fifth of the start."""
    gc.disable()
    from pgmon.cli import main as command

    gc.freeze()
    gc.enable()
    command(prog_name="pgmon")


if __name__ == "__main__":
    main()
