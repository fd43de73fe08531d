"""How titles are searched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.text import fold, searched_words, words


def finds(search: str, title: str) -> bool:
    asked = searched_words(search)
    return bool(asked) and all(any(word.startswith(part) for word in words(title)) for part in asked)


@pytest.mark.parametrize(
    ("search", "title"),
    [
        ("amelie", "Le Fabuleux Destin d'Amélie Poulain"),
        ("AMÉLIE", "le fabuleux destin d'amelie poulain"),
        ("d'amélie", "Le Fabuleux Destin d’Amélie Poulain"),
        ("poul fab", "Le Fabuleux Destin d'Amélie Poulain"),
        ("spider man", "Spider-Man: No Way Home"),
        ("spider-man", "Spider Man"),
        ("wall", "WALL·E"),
        ("strasse", "Die Straße"),
        ("straße", "DIE STRASSE"),
        ("smorgasbord", "Smörgåsbord"),
        ("lodz", "Łódź"),
        ("기생", "기생충"),
        ("千と", "千と千尋の神隠し"),
        ("i", "İstanbul"),
        ("$", "$"),
        ("9/11", "Fahrenheit 9/11"),
        ("fast & fur", "Fast & Furious"),
        ("ﬁnding", "Finding Nemo"),
    ],
)
def test_found(search: str, title: str) -> None:
    assert finds(search, title)


@pytest.mark.parametrize(
    ("search", "title"),
    [
        ("melie", "Amélie"),
        ("matrix reloaded", "The Matrix"),
        ("eleven's", "Ocean's Eleven"),
        ("!!!", "Wow!!!"),
        ("\u0301", "Amélie"),
        ("*", "The Matrix"),
    ],
)
def test_not_found(search: str, title: str) -> None:
    assert not finds(search, title)


@given(st.text(max_size=60))
def test_folding_is_stable_and_takes_any_text(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert all(fold(word) == word for word in words(text))


@given(st.text(min_size=1, max_size=40))
def test_every_title_is_found_by_itself(title: str) -> None:
    assert not searched_words(title) or finds(title, title)


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_part_that_is_searched_for_is_needed(title: str, more: str) -> None:
    if finds(f"{title} {more}", title) and searched_words(more):
        assert finds(more, title) or not any(c.isalnum() for c in more)
