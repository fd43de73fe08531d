"""The whole mission with the client that `openapi-python-client` generates from the API's document.

`tests/e2e/test_python_client.py` generates `movie_suite`, has mypy check this file against it, and runs it.
"""

import os
import secrets
import sys
import time
from typing import TypeVar

import httpx
from movie_suite import AuthenticatedClient, Client
from movie_suite.api.entitlements import get_entitlements
from movie_suite.api.genres import list_genres
from movie_suite.api.movies import list_movies, read_movie
from movie_suite.api.packages import create_package, edit_package, get_package
from movie_suite.api.reports import get_my_report, list_user_reports
from movie_suite.api.sessions import forgot_password, login, logout, reset_password
from movie_suite.api.subscriptions import cancel_subscription, subscribe
from movie_suite.api.sync import read_sync
from movie_suite.api.users import create_user, get_own_user
from movie_suite.api.watched import list_watched_movies, mark_movie_watched, unmark_movie_watched
from movie_suite.models import (
    EditPreviewRead,
    EntitlementsRead,
    GenrePage,
    Login,
    MoviePage,
    PackageCreate,
    PackageRead,
    PackageUpdate,
    PasswordForgot,
    PasswordForgotAccepted,
    PasswordReset,
    Problem,
    ReportPage,
    ReportRead,
    SubscriptionCreate,
    SubscriptionRead,
    SyncRead,
    TokenPairRead,
    UserCreate,
    UserRead,
    WatchedPage,
    WatchedRead,
)

T = TypeVar("T")
GATEWAY = os.environ["STACK_GATEWAY_URL"]
ACTION, WESTERN = 28, 37


def expect(kind: type[T], answer: object) -> T:
    """`answer` when it is of the type that the document promises."""
    if not isinstance(answer, kind):
        sys.exit(f"expected {kind.__name__}, got {answer!r}")
    return answer


def logged_in(email: str, password: str) -> AuthenticatedClient:
    tokens = expect(TokenPairRead, login.sync(client=Client(GATEWAY), body=Login(email=email, password=password)))
    return AuthenticatedClient(GATEWAY, token=tokens.access_token)


def token_from_mail(email: str) -> str:
    """What somebody reads in their mail."""
    with httpx.Client(base_url=os.environ["STACK_MAIL_API_URL"], trust_env=False) as mails:
        for _ in range(200):
            found = mails.get("/api/v1/messages").json()["messages"]
            if mine := [mail["ID"] for mail in found if any(to["Address"] == email for to in mail["To"])]:
                text: str = mails.get(f"/api/v1/message/{mine[0]}").json()["Text"]
                return text.split("token=")[1].split(maxsplit=1)[0]
            time.sleep(0.1)
    sys.exit("no mail came")


def recovered(email: str) -> AuthenticatedClient:
    """Logged in with a new password after the first one was forgotten."""
    anybody = Client(GATEWAY)
    expect(PasswordForgotAccepted, forgot_password.sync(client=anybody, body=PasswordForgot(email=email)))
    new = f"second password {secrets.token_hex(4)}"
    reset = PasswordReset(token=token_from_mail(email), new_password=new)
    assert reset_password.sync_detailed(client=anybody, body=reset).status_code == 204
    return logged_in(email, new)


def new_package(admin: AuthenticatedClient) -> PackageRead:
    """A package that has been edited once, after a look at what the edit would do."""
    genres = expect(GenrePage, list_genres.sync(client=admin, page_size=100))
    assert {ACTION, WESTERN} <= {genre.id for genre in genres.data}
    draft = PackageCreate(name=f"Typed {secrets.token_hex(4)}", genre_ids=[WESTERN])
    made = expect(PackageRead, create_package.sync(client=admin, body=draft))
    etag = get_package.sync_detailed(made.id, client=admin).headers["etag"]
    edit = PackageUpdate(genre_ids=[WESTERN, ACTION])
    preview = edit_package.sync(made.id, client=admin, body=edit, dry_run=True, if_match=etag)
    assert [genre.id for genre in expect(EditPreviewRead, preview).genres_added] == [ACTION]
    edited = expect(PackageRead, edit_package.sync(made.id, client=admin, body=edit, if_match=etag))
    stale = edit_package.sync(made.id, client=admin, body=PackageUpdate(name="Too late"), if_match=etag)
    assert expect(Problem, stale).code == "precondition-failed"
    return edited


def mission() -> None:
    admin = logged_in(os.environ["ADMIN_EMAIL"], os.environ["ADMIN_PASSWORD"])
    package = new_package(admin)
    assert package.version == 2

    email = f"typed.{secrets.token_hex(4)}@example.com"
    account = UserCreate(email=email, password=f"first password {secrets.token_hex(4)}", name="Ana")
    user = expect(UserRead, create_user.sync(client=Client(GATEWAY), body=account))
    me = recovered(email)
    assert expect(UserRead, get_own_user.sync(client=me)).id == user.id
    assert expect(MoviePage, list_movies.sync(client=me)).data == []

    subscription = expect(SubscriptionRead, subscribe.sync(client=me, body=SubscriptionCreate(package_id=package.id)))
    assert {genre.id for genre in subscription.genres} == {ACTION, WESTERN}
    allowed = expect(EntitlementsRead, get_entitlements.sync(client=me))
    assert {genre.id for genre in allowed.genres} == {ACTION, WESTERN}
    movies = expect(MoviePage, list_movies.sync(client=me, genre_ids=[WESTERN], page_size=5))
    assert movies.pagination.first_page
    movie = movies.data[0]
    assert WESTERN in {genre.id for genre in movie.genres}

    expect(WatchedRead, mark_movie_watched.sync(movie.id, client=me))
    assert [entry.movie.id for entry in expect(WatchedPage, list_watched_movies.sync(client=me)).data] == [movie.id]
    report = expect(ReportRead, get_my_report.sync(client=me))
    assert (report.total_films_watched, report.last_film_watched and report.last_film_watched.movie_id) == (1, movie.id)
    of_all = expect(ReportPage, list_user_reports.sync(client=admin, user_ids=[user.id]))
    assert [found.user_id for found in of_all.data] == [user.id]
    assert unmark_movie_watched.sync_detailed(movie.id, client=me).status_code == 204
    assert expect(ReportRead, get_my_report.sync(client=me)).most_watched_theme is None

    assert cancel_subscription.sync_detailed(subscription.id, client=me).status_code == 204
    assert expect(Problem, read_sync.sync(client=me)).code == "forbidden"
    assert expect(SyncRead, read_sync.sync(client=admin)).genres.total_failures >= 0
    assert expect(Problem, read_movie.sync(2**31 - 1, client=me)).code == "movie-not-found"
    assert logout.sync_detailed(client=me).status_code == 204


if __name__ == "__main__":
    mission()
