"""The Movie Database, API version 3."""
