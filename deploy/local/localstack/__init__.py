"""Runner of the local stack. Standard library only: it runs before anything is installed."""
