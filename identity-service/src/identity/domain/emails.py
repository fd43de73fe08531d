"""E-mail addresses: one canonical form, so that one mailbox has one account."""

from email_validator import EmailNotValidError, validate_email

MAX_EMAIL_CHARACTERS = 254


class InvalidEmailError(ValueError):
    """The text is no e-mail address."""


def canonical_email(text: str) -> str:
    """The form under which an address is stored, compared and written to: ASCII, lower case, IDNA domain.

    The local part must be ASCII: letters that look or collate like others (CVE-2019-19844) then never reach
    the database or a mail server. Names reserved for private use (RFC 6761) are accepted, because private
    installations have them; whether mail arrives is not checked. Raises `InvalidEmailError`.
    """
    try:
        address = validate_email(
            text, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False, strict=True
        ).ascii_email
    except EmailNotValidError as error:
        raise InvalidEmailError("must be an e-mail address") from error
    if address is None or len(address) > MAX_EMAIL_CHARACTERS or "." not in address.rpartition("@")[2]:
        raise InvalidEmailError("must be an e-mail address")
    return address.lower()
