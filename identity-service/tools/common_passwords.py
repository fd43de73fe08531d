"""Writes `identity/security/common_passwords.txt`: passwords that are guessed first and pass the length rule.

Lists of leaked passwords consist almost wholly of ones shorter than twelve characters, which the length rule
refuses anyway. What people choose when twelve are asked for is made from the same material: a common word
doubled, or with years, digits and exclamation marks behind it, walks over the keyboard, runs of digits, and a
few phrases. This program builds those. Single characters and short units repeated, and plain sequences, are
left to the rules of `identity.domain.passwords`.

Run `python identity-service/tools/common_passwords.py` after a change; a test compares its output with the file.
"""

# ruff: noqa: INP001 - a program of its own, run as a file
from collections.abc import Iterator
from itertools import product
from pathlib import Path

MIN_CHARACTERS = 8  # the floor of the setting for the least length
MAX_CHARACTERS = 40
TARGET = Path(__file__).parents[1] / "src" / "identity" / "security" / "common_passwords.txt"

# The words that occur most often inside leaked passwords, in any language's lists.
_WORDS = """
password passwort passord admin administrator root user login welcome letmein iloveyou iloveu loveme lovely
sunshine princess dragon monkey football baseball basketball soccer hockey superman batman spiderman pokemon
starwars master shadow michael jennifer jessica ashley daniel michelle charlie andrew matthew thomas jordan
hunter ranger buster tigger pepper ginger cookie chocolate cheese banana orange apple summer winter spring
autumn monday tuesday wednesday thursday friday saturday sunday january february march april june july august
september october november december freedom flower butterfly hello whatever computer internet samsung google
facebook microsoft windows qwerty qwertyuiop asdfgh asdfghjkl zxcvbn zxcvbnm azerty qwertz trustno changeme
default guest demo sample temp temporary access secure security private mustang ferrari mercedes porsche yamaha
harley corvette chelsea liverpool arsenal barcelona realmadrid manchester juventus america canada london paris
berlin diamond silver golden purple yellow black white green orange angel angels heaven jesus christ blessed
family mother father mommy daddy friend friends forever always together happy smile beautiful babygirl baby
lover sweetheart honey sexy hotstuff killer hacker ninja warrior phoenix eagle tiger lion panther dolphin wolf
magic merlin matrix gandalf frodo naruto pikachu minecraft fortnite roblox nintendo playstation xbox movie
movies cinema film films star stars rock music guitar metallica nirvana eminem slipknot bailey maggie lucky
letmein1 company office business manager support service server system database network oracle cisco
"""
WORDS = _WORDS.split()

SUFFIXES = [
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "0000",
    "1111",
    "007",
    "69",
    "99",
    "321",
    "4321",
    "54321",
    "654321",
    "!",
    "!!",
    "!!!",
    "1!",
    "12!",
    "123!",
    "1234!",
    "12345!",
    "@123",
    "@1234",
    "@12345",
    "#123",
    "#1234",
    "_123",
    "-123",
    ".123",
    "*123",
    "$123",
    "abc",
    "abc123",
    "qwerty",
    "qwerty123",
    "123abc",
    "321!",
    "000",
    "111",
    "222",
    "333",
    "666",
    "777",
    "888",
    "999",
    "123123",
    "112233",
    *[f"{year}" for year in range(1980, 2031)],
    *[f"{year}!" for year in range(2010, 2031)],
    *[f"@{year}" for year in range(2015, 2031)],
]

_PHRASES = """
iloveyousomuch iloveyouforever iloveyoubaby iloveyoumom iloveyoumore iloveyoumore1 iloveyou2much iloveyou1234
iloveyou12345 loveyouforever loveyousomuch iloveyou143 iloveme4ever bestfriends bestfriends1 bestfriend123
bestfriendsforever lovelovelove maytheforcebewithyou maytheforce letmeinplease letmeinnow letmeinletmein
letmein123456 openthedoor opensesame123 whatisthis123 idontknow123 idontknow1234 nopassword123 nopasswordhere
mypassword123 mypassword1234 mypasswordis mypasswordis123 thisismypassword thisisapassword thepassword123
passwordpassword password1password1 password123password newpassword123 newpassword1 yourpassword yourpassword1
adminadminadmin administrator1 administrator123 superadministrator rootrootroot toortoortoor changemenow
changeme1234 changeme12345 changethispassword pleasechangeme welcometothejungle welcomehome1 welcome2024welcome
hello1234567 helloworld12 helloworld123 helloworld1234 hellohello123 hellokitty123 hellokitty1 spongebob123
harrypotter1 harrypotter123 harrypotter7 starwars1977 starwars12345 lordoftherings thelordoftherings
gameofthrones gameofthrones1 princess12345 jesuschrist1 jesusislord1 jesuslovesme jesuslovesyou godisgood123
godislove123 ilovejesus123 ingodwetrust blessed12345 manchesterunited manchestercity liverpoolfc1892
realmadrid123 fcbarcelona1 fcbarcelona10 chelseafc123 arsenalfc123 christiano7 cristiano7 cristianoronaldo
lionelmessi10 michaeljordan michaeljackson justinbieber1 justinbieber onedirection onedirection1 barbiegirl123
sweetheart123 beautiful123 babygirl1234 chocolate1234 butterfly1234 unbelievable1 supermanbatman
trustno1trustno1 correctpassword incorrect123 donttellanyone dontforgetme dontforgetthis rememberme123
nobodyknows123
"""
PHRASES = _PHRASES.split()

ROWS = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop", "yxcvbnm", "qsdfghjklm"]
COLUMNS = ["1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol", "0p"]
DIAGONALS = [
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "qawsedrftgyhujikolp",
    "1a2s3d4f5g6h7j8k9l",
    "zaq1xsw2cde3vfr4bgt5",
]
LEET = str.maketrans({"a": "@", "o": "0", "e": "3", "i": "1", "s": "$"})


def words_with_suffixes() -> Iterator[str]:
    yield from WORDS
    for word, suffix in product(WORDS, SUFFIXES):
        yield word + suffix
    for word, suffix in product(WORDS, ["123", "1234", "12345", "123456", "2024", "2025", "2026"]):
        yield suffix + word
        yield word.translate(LEET) + suffix
        yield word + "!" + suffix
        yield suffix + word + suffix


def doubled_words() -> Iterator[str]:
    for word in WORDS:
        yield word * 2
        yield word * 3
        yield f"{word}1{word}1"
        yield f"{word}123{word}123"
        yield f"{word} {word}"
        yield f"{word}-{word}"


def pairs() -> Iterator[str]:
    common = ["password", "admin", "welcome", "iloveyou", "letmein", "qwerty", "master", "login", "hello", "love"]
    for first, second in product(common, WORDS):
        yield first + second
        yield second + first


def keyboard_walks() -> Iterator[str]:
    for row, other in product(ROWS, ROWS):
        for first, second in ((row, other), (row[::-1], other), (row, other[::-1])):
            yield from (first + second[:length] for length in range(len(second) + 1))
            yield from (first[:length] + second[:length] for length in range(4, 11))
    for start in range(len(COLUMNS)):
        for length in range(2, len(COLUMNS) - start + 1):
            walk = COLUMNS[start : start + length]
            yield "".join(walk)
            yield "".join(column[::-1] for column in walk)
            yield "".join(column if index % 2 else column[::-1] for index, column in enumerate(walk))
    for diagonal in DIAGONALS:
        for start in range(len(diagonal) - MIN_CHARACTERS + 1):
            for end in range(start + MIN_CHARACTERS, len(diagonal) + 1):
                yield diagonal[start:end]
    for row, digits in product(ROWS[1:], ["1", "12", "123", "1234", "12345", "123456", "1!", "123!"]):
        yield row + digits
        yield digits + row


def digit_runs() -> Iterator[str]:
    for length in range(MIN_CHARACTERS, 21):
        for run in ("1234567890", "0123456789", "0987654321", "9876543210"):
            yield (run * 3)[:length]
    for unit in (
        "123",
        "321",
        "12",
        "1234",
        "12345",
        "123456",
        "654321",
        "112233",
        "147258369",
        "789456123",
        "147852369",
        "741852963",
        "159753",
        "123654789",
        "142536",
        "102030",
        "101010",
        "121212",
        "11223344",
    ):
        for times in range(1, 8):
            yield unit * times
    for pair in range(10):
        yield "".join(str((pair + step) % 10) * 2 for step in range(6))
        yield "".join(str((pair + step) % 10) * 3 for step in range(4))
        yield "".join(str((pair + step) % 10) * 4 for step in range(3))
    for day, month, year in product((1, 15, 31), range(1, 13), range(1950, 2027, 4)):
        yield f"{day:02}{month:02}{year}{day:02}{month:02}{year}"


def letters_and_digits() -> Iterator[str]:
    for letters, digits in product(
        ("abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh", "aaa", "qwe", "asd", "zxc", "qwer", "asdf", "zxcv"),
        ("123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "123123", "321"),
    ):
        yield letters + digits
        yield digits + letters
        yield (letters + digits) * 2
        yield letters + digits + "!"
        yield letters + digits + letters


def build() -> list[str]:
    """All of them, case-folded, sorted, each once."""
    sources = (
        words_with_suffixes,
        doubled_words,
        pairs,
        keyboard_walks,
        digit_runs,
        letters_and_digits,
        lambda: iter(PHRASES),
    )
    folded = {password.casefold() for source in sources for password in source()}
    return sorted(password for password in folded if MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS)


def render() -> str:
    """The content of the file."""
    return "# Made by tools/common_passwords.py; do not edit.\n" + "".join(f"{line}\n" for line in build())


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
