"""A stand-in for the TMDB v3 API: a development tool, never imported by a service."""
