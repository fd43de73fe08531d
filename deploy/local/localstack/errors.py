"""The one error that the runner shows to its user."""


class StackError(Exception):
    """Something a person can act on; the command line prints it as one line and exits with 1."""
