"""Refusals of this service."""

from chassis.errors import ForbiddenError, Kind, NotFoundError, ServiceError, UnavailableError


class GenreNotFoundError(NotFoundError):
    code = "genre-not-found"
    title = "Genre not found"
    default_detail = "There is no genre with this id. List the genres to see which there are."


class MovieNotFoundError(NotFoundError):
    code = "movie-not-found"
    title = "Movie not found"
    default_detail = "There is no movie with this id. List the movies to find the one you mean."


class MovieNotInYourGenresError(ForbiddenError):
    code = "movie-not-in-your-genres"
    title = "Movie not in your genres"
    default_detail = "None of your subscriptions includes this movie's genres. Subscribe to a package that does."


class SyncRunningError(ServiceError):
    code = "sync-running"
    kind = Kind.CONFLICT
    title = "Synchronisation running"
    default_detail = "A synchronisation is asked for or running already. Look at its progress with GET /v1/sync."


class MovieLookupUnavailableError(UnavailableError):
    """The movie is not held here and TMDB, which may know it, does not answer."""

    code = "movie-lookup-unavailable"
    title = "Movie lookup unavailable"
    default_detail = "This movie is not stored here and TMDB cannot be asked at the moment. Try again shortly."


class EntitlementsUnavailableError(UnavailableError):
    """Nobody can say what the caller may see: never taken for 'nothing' or 'everything'."""

    code = "entitlements-unavailable"
    title = "Entitlements unavailable"
    default_detail = "What your subscriptions include cannot be confirmed at the moment. Try again shortly."
