"""What can go wrong between TMDB and us."""


class TmdbError(Exception):
    """TMDB gave no usable answer. `code` is stable; the text is safe to log and to show to an administrator."""

    code = "tmdb-error"
    is_transient = False


class TmdbRefusedError(TmdbError):
    """The token is missing, wrong or suspended: asking again does not help, an operator has to act."""

    code = "tmdb-refused"


class TmdbNotFoundError(TmdbError):
    """TMDB has no such thing (any more)."""

    code = "tmdb-not-found"


class TmdbRejectedError(TmdbError):
    """TMDB does not understand the request, which is our mistake."""

    code = "tmdb-rejected"


class TmdbThrottledError(TmdbError):
    """Too many requests. `retry_after` is in seconds, None when TMDB did not say."""

    code = "tmdb-throttled"
    is_transient = True

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TmdbUnavailableError(TmdbError):
    """No connection, or an error of TMDB's own."""

    code = "tmdb-unavailable"
    is_transient = True


class TmdbTimeoutError(TmdbUnavailableError):
    """TMDB took too long."""

    code = "tmdb-timeout"


class TmdbMalformedError(TmdbError):
    """The answer is not what the API promises: no JSON, or JSON of another shape."""

    code = "tmdb-malformed"
    is_transient = True
