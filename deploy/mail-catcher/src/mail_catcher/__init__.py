"""An SMTP server that keeps mails in memory and shows them: for development and tests, never for delivery."""
