"""A caught mail and the box that holds a bounded number of them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import getaddresses

_SNIPPET_CHARACTERS = 250


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox and the name written beside it."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it came in over SMTP; `sender` and `recipients` are the envelope's."""

    id: str
    received_at: datetime
    sender: str
    recipients: Sequence[str]
    raw: bytes = field(repr=False)
    message: EmailMessage = field(repr=False)

    @classmethod
    def of(cls, sender: str, recipients: Iterable[str], raw: bytes) -> Mail:
        """Parse what came in; text that is no good mail is kept all the same."""
        message = message_from_bytes(raw, policy=policy.default)
        return cls(secrets.token_urlsafe(16), datetime.now(UTC), sender, tuple(recipients), raw, message)

    def header(self, name: str) -> str:
        """A header decoded, or an empty text."""
        return str(self.message.get(name, ""))

    def addresses(self, name: str) -> list[Address]:
        """The addresses in all headers of that name."""
        values = [str(value) for value in self.message.get_all(name, [])]
        return [Address(label, address) for label, address in getaddresses(values) if address]

    def blind_copies(self) -> list[Address]:
        """Recipients that only the envelope names."""
        named = {each.address.lower() for header in ("To", "Cc") for each in self.addresses(header)}
        return [Address("", recipient) for recipient in self.recipients if recipient.lower() not in named]

    def body(self, kind: str) -> str:
        """The decoded part of the mail that is `plain` text or `html`; empty if there is none."""
        part = self.message.get_body(preferencelist=(kind,))
        if part is None:
            return ""
        try:
            content = part.get_content()
        except (LookupError, MessageError, ValueError):
            # An unknown or lying charset: better a few wrong characters than no mail.
            payload = part.get_payload(decode=True)
            content = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
        return content if isinstance(content, str) else ""

    def snippet(self) -> str:
        """The beginning of the text in one line."""
        return " ".join(self.body("plain").split())[:_SNIPPET_CHARACTERS]

    def matches(self, term: str) -> bool:
        """Whether one term of a search is met: `to:`, `from:`, `subject:` or a word anywhere; case does not count."""
        name, colon, value = term.partition(":")
        wanted = value.strip('"').lower()
        if colon and name in ("to", "from", "subject"):
            if name == "subject":
                return wanted in self.header("Subject").lower()
            known = [each.address for each in self.addresses(name.title())]
            known += self.recipients if name == "to" else [self.sender]
            return any(wanted in address.lower() for address in known)
        everywhere = f"{self.header('Subject')} {self.header('From')} {self.header('To')} {self.body('plain')}"
        return term.strip('"').lower() in everywhere.lower()


class Mailbox:
    """The latest mails, bounded in number and in bytes."""

    def __init__(self, max_mails: int, max_bytes: int) -> None:
        self._max_mails = max_mails
        self._max_bytes = max_bytes
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._mails)

    def add(self, mail: Mail) -> None:
        """Keep a mail; the oldest ones make room."""
        self._mails[mail.id] = mail
        self._bytes += len(mail.raw)
        while len(self._mails) > self._max_mails or (self._bytes > self._max_bytes and len(self._mails) > 1):
            _, oldest = self._mails.popitem(last=False)
            self._bytes -= len(oldest.raw)

    def newest_first(self, query: str = "") -> list[Mail]:
        """The mails that meet every blank-separated term of `query`."""
        terms = query.split()
        return [mail for mail in reversed(self._mails.values()) if all(mail.matches(term) for term in terms)]

    def find(self, mail_id: str) -> Mail | None:
        """A mail by its id; `latest` is the newest."""
        if mail_id == "latest":
            return next(reversed(self._mails.values()), None)
        return self._mails.get(mail_id)

    def remove(self, ids: Iterable[str]) -> None:
        """Forget mails; unknown ids are passed over."""
        for mail_id in ids:
            mail = self._mails.pop(mail_id, None)
            if mail is not None:
                self._bytes -= len(mail.raw)

    def clear(self) -> None:
        """Forget all mails."""
        self._mails.clear()
        self._bytes = 0
