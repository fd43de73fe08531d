"""Refusals of this service that a client is meant to see."""

from chassis.errors import ForbiddenError, NotFoundError


class MovieNotInYourGenresError(ForbiddenError):
    """The catalog knows the movie; the caller's packages hold none of its genres."""

    code = "movie-not-in-your-genres"
    title = "Movie not in your genres"
    default_detail = "None of your packages includes a genre of this movie. Subscribe to one that does."


class MovieNotFoundError(NotFoundError):
    """The catalog does not know the movie."""

    code = "movie-not-found"
    title = "Movie not found"
    default_detail = "There is no movie with this id. List the movies to find the one you mean."


class MovieNotWatchedError(NotFoundError):
    """The movie is not in the caller's history."""

    code = "movie-not-watched"
    title = "Movie not watched"
    default_detail = "This movie is not marked as watched. Mark it with PUT first."


class UserDeletedError(ForbiddenError):
    """The account has been deleted; its history was erased and stays empty."""

    code = "user-deleted"
    title = "User deleted"
    default_detail = "This account has been deleted, so nothing can be stored for it any more. Register again."
