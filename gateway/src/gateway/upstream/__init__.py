"""The way to the services: connections of our own, kept alive, bounded and given up in time."""
