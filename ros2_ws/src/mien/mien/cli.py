"""Command line of mien."""


def main() -> None:
    """Run the command line."""
