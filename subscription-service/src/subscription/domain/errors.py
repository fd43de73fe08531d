"""What can go wrong with packages and subscriptions."""

from chassis.errors import Kind, ServiceError


class PackageNotFoundError(ServiceError):
    """There is no such package, or the caller may not see it."""

    code = "package-not-found"
    kind = Kind.NOT_FOUND
    title = "Package not found"
    default_detail = "There is no package with this id that you may see. List the packages to find one."


class PackageVersionNotFoundError(ServiceError):
    """The package has no version of that number."""

    code = "package-version-not-found"
    kind = Kind.NOT_FOUND
    title = "Package version not found"
    default_detail = "The package has no version of this number. List its versions to see which there are."


class PackageNameTakenError(ServiceError):
    """Another active package has the same name."""

    code = "package-name-taken"
    kind = Kind.CONFLICT
    title = "Package name taken"
    default_detail = (
        "Another active package has this name; case, accents and outer spaces make no difference. Choose another."
    )


class PackageArchivedError(ServiceError):
    """The package is archived, so it takes no new subscriptions and no edits."""

    code = "package-archived"
    kind = Kind.CONFLICT
    title = "Package archived"
    default_detail = "The package is archived. Restore it first, or choose another."


class UnknownGenreError(ServiceError):
    """Some genre ids are unknown to the catalog or no longer listed by its source."""

    code = "unknown-genre"
    kind = Kind.INVALID
    title = "Unknown genre"
    default_detail = (
        "A package can only hold genres that the catalog lists as active; 'errors' says which are not. Leave these out."
    )


class UnknownUserError(ServiceError):
    """Some user ids do not belong to an active user."""

    code = "unknown-user"
    kind = Kind.INVALID
    title = "Unknown user"
    default_detail = (
        "Only active users can be subscribed; 'errors' says which are unknown or disabled. Leave these out."
    )


class SubscriptionNotFoundError(ServiceError):
    """There is no such subscription, or it is somebody else's."""

    code = "subscription-not-found"
    kind = Kind.NOT_FOUND
    title = "Subscription not found"
    default_detail = "You have no subscription with this id. List your subscriptions to find one."


class AlreadySubscribedError(ServiceError):
    """The user holds an active subscription to the package."""

    code = "already-subscribed"
    kind = Kind.CONFLICT
    title = "Already subscribed"
    default_detail = "There is an active subscription to this package already. Cancel it first, or keep it."


class SubscriptionNotActiveError(ServiceError):
    """The subscription has been cancelled or has expired."""

    code = "subscription-not-active"
    kind = Kind.CONFLICT
    title = "Subscription not active"
    default_detail = "The subscription has ended. Subscribe again to get the package's newest version."


class SubscriptionLimitReachedError(ServiceError):
    """The user holds as many active subscriptions as one entitlements event can carry."""

    code = "subscription-limit-reached"
    kind = Kind.CONFLICT
    title = "Subscription limit reached"
    default_detail = "A user can hold 500 active subscriptions at most. Cancel one first."
