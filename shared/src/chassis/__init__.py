"""What every process of the suite has in common. Knows nothing of movies, packages or users' rules."""
