"""Everything that a process of this service works with, built from its settings."""

import hmac
import os
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from chassis.idempotency import IdempotencyKeys
from chassis.sql import Database
from chassis.tokens import AccessTokenVerifier, KeySet
from identity.clients.mailer import SmtpMailer
from identity.config import Settings
from identity.domain.passwords import PasswordPolicy
from identity.security.access_tokens import AccessTokenIssuer
from identity.security.blocklist import common_passwords
from identity.security.passwords import HashMetrics, PasswordHasher
from identity.security.signing_keys import KeyWrap
from identity.services.accounts import AccountService
from identity.services.audit import AuditLog
from identity.services.authentication import AuthenticationService
from identity.services.housekeeping import Housekeeping
from identity.services.mail_delivery import MailDelivery
from identity.services.passwords import PasswordService
from identity.services.revocation import Revocations, RevocationSnapshot
from identity.services.sessions import SessionService
from identity.services.signing_keys import KeySchedule, SigningKeyService
from identity.services.throttle import LoginThrottle, Throttle
from identity.storage.tables import idempotency_keys, outbox

# A key that another replica has just made is asked for this often at most.
_UNKNOWN_KEY_COOLDOWN_SECONDS = 1.0


def _derived(settings: Settings, purpose: str) -> bytes:
    """A secret of its own for each purpose, so that no two uses can be played against each other."""
    return hmac.digest(settings.key_encryption_key.get_secret_value().encode(), purpose.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Resources:
    """The services of one process; they keep nothing that another replica would need."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    signing_keys: SigningKeyService
    key_set: KeySet
    verifier: AccessTokenVerifier
    audit_log: AuditLog
    accounts: AccountService
    authentication: AuthenticationService
    sessions: SessionService
    passwords: PasswordService
    revocation_snapshot: RevocationSnapshot
    mail_delivery: MailDelivery
    housekeeping: Housekeeping
    idempotency_secret: bytes

    async def aclose(self) -> None:
        self.hasher.close()
        await self.database.aclose()


def build_resources(settings: Settings, registry: CollectorRegistry) -> Resources:
    """Connect the parts; no server is contacted yet."""
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
    hasher = build_hasher(settings, HashMetrics(registry))
    keys = _signing_keys(settings, database)
    key_set = KeySet(
        keys.load, refresh_seconds=settings.key_reload_seconds, cooldown_seconds=_UNKNOWN_KEY_COOLDOWN_SECONDS
    )
    issuer = AccessTokenIssuer(
        keys.signing_key,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        lifetime=settings.access_lifetime,
    )
    policy = PasswordPolicy(settings.password_min_characters, common_passwords())
    throttle = Throttle(database, _derived(settings, "throttle"))
    login_throttle = LoginThrottle(
        database,
        throttle,
        settings.login_rules,
        address_limit=settings.login_address_limit,
        account_limit=settings.login_account_limit,
        accounts_limit=settings.login_accounts_limit,
    )
    revocations = Revocations(outbox)
    idempotency = IdempotencyKeys(idempotency_keys)
    idle = timedelta(days=settings.session_idle_days)
    audit_log = AuditLog(database)
    authentication = AuthenticationService(
        database,
        audit_log,
        hasher,
        login_throttle,
        issuer,
        idle=idle,
        absolute=timedelta(days=settings.session_absolute_days),
    )
    passwords = PasswordService(
        database,
        audit_log,
        hasher,
        policy,
        throttle,
        login_throttle,
        authentication,
        revocations,
        forgot_address_limit=settings.forgot_address_limit,
        forgot_email_limit=settings.forgot_email_limit,
        reset_limit=settings.reset_limit,
        reset_lifetime=timedelta(minutes=settings.reset_token_minutes),
    )
    return Resources(
        settings=settings,
        database=database,
        hasher=hasher,
        signing_keys=keys,
        key_set=key_set,
        verifier=AccessTokenVerifier(key_set, issuer=settings.token_issuer, audience=settings.token_audience),
        audit_log=audit_log,
        accounts=AccountService(
            database,
            audit_log,
            outbox,
            hasher,
            policy,
            throttle,
            login_throttle,
            authentication,
            revocations,
            idempotency=idempotency,
            registration_limit=settings.registration_limit,
            reauthentication=timedelta(seconds=settings.reauthentication_seconds),
        ),
        authentication=authentication,
        sessions=SessionService(
            database,
            audit_log,
            issuer,
            revocations,
            idle=idle,
            race_window=timedelta(milliseconds=settings.refresh_race_window_ms),
            refreshes_per_minute=settings.refreshes_per_session_per_minute,
        ),
        passwords=passwords,
        revocation_snapshot=RevocationSnapshot(database),
        mail_delivery=MailDelivery(
            database,
            passwords,
            SmtpMailer(settings.smtp_url.get_secret_value(), settings.mail_from),
            settings.public_web_url,
        ),
        housekeeping=Housekeeping(database, idempotency, timedelta(days=settings.audit_retention_days)),
        idempotency_secret=_derived(settings, "idempotency"),
    )


def build_hasher(settings: Settings, metrics: HashMetrics | None = None) -> PasswordHasher:
    """The password hasher with the present and all former peppers."""
    peppers = {number: secret.get_secret_value().encode() for number, secret in settings.password_peppers_old.items()}
    peppers[settings.password_pepper_id] = settings.password_pepper.get_secret_value().encode()
    return PasswordHasher(
        peppers,
        settings.password_pepper_id,
        settings.bcrypt_cost,
        threads=settings.hash_threads or os.cpu_count() or 1,
        queue=settings.hash_queue,
        metrics=metrics,
    )


def _signing_keys(settings: Settings, database: Database) -> SigningKeyService:
    old = settings.key_encryption_key_old
    wrap = KeyWrap(settings.key_encryption_key.get_secret_value(), *([old.get_secret_value()] if old else []))
    schedule = KeySchedule.of(
        rotation_days=settings.key_rotation_days,
        publish_seconds=settings.key_publish_seconds,
        reload_seconds=settings.key_reload_seconds,
        access_token_seconds=settings.access_token_seconds,
    )
    return SigningKeyService(database, wrap, schedule)
