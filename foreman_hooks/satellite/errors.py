"""What can go wrong with Satellite: an exception and an exit code for each kind of failure.

SatelliteError                    Satellite cannot be reached, or its response is invalid
  +- SatelliteUnreachable         no connection, or the response broke off
  +- SatelliteLoginError          401: wrong user, password or token; never tried twice
  +- SatelliteForbidden           403, or a role that sees nothing
  +- SatelliteRefused             a well-formed refusal of one request (400, 404, 409, 410, 422)
  |    +- SatelliteInvalid        422 to a change: for example, the name is already taken
  +- SatelliteFault               Satellite itself fails at one request (500 with its own message)
  +- SatelliteBroken              an error of a proxy, or while Satellite starts (502, 504)
  +- SatelliteNotFound            no host or organization of that name
  +- SatelliteChanged             the host is no longer what it was a moment ago
  +- SatelliteOutcomeUnknown      nobody knows whether a deletion was carried out
       +- SatelliteHitAnotherHost a deletion was carried out on another host
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SatelliteError(Exception):
    """Satellite cannot be reached, or its response is invalid."""

    exit_code = 69


class SatelliteUnreachable(SatelliteError):
    """There is no connection to Satellite, or its response broke off."""


class SatelliteLoginError(SatelliteError):
    """Satellite refused the login."""

    exit_code = 129


class SatelliteForbidden(SatelliteError):
    """The login works, but its role lacks a permission, an organization or a location.

    `missing`: the permissions of which any is enough, as Satellite names them; empty if it names
    none.
    """

    exit_code = 77

    def __init__(self, message: str, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class SatelliteRefused(SatelliteError):
    """Satellite refused one request with a reason.

    A 404 has three forms that must not be mixed up: `no_resource` (no such host, or this login
    may not see it), `no_route` (the plugin is not installed), and neither of them (the
    organization in the query is not visible).
    """

    def __init__(self, status: int, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message)
        error = body.get("error")
        self.no_resource = status == 404 and isinstance(error, dict)
        self.no_route = status == 404 and isinstance(error, str)


class SatelliteInvalid(SatelliteRefused):
    """Satellite does not accept the values of a change (422)."""

    exit_code = 65


class SatelliteFault(SatelliteError):
    """Satellite answers one request with a 500 and a message; other requests may still work."""


class SatelliteBroken(SatelliteError):
    """An error status without a message of Satellite: from a proxy, or while Satellite starts."""


class SatelliteChanged(SatelliteError):
    """The host is no longer what it was when it was judged; nothing was changed."""


class SatelliteOutcomeUnknown(SatelliteError):
    """A deletion was sent and its result is unknown: it may still be under way."""


class SatelliteHitAnotherHost(SatelliteOutcomeUnknown):
    """Satellite deleted another host than the one it was asked to: nothing more may be deleted."""


class SatelliteNotFound(SatelliteError):
    """No host or organization of that name is visible."""

    exit_code = 128


# These may concern only one host in the response; all others concern the whole Satellite.
ABOUT_ONE_REQUEST = (
    SatelliteFault,
    SatelliteBroken,
    SatelliteRefused,
    SatelliteForbidden,
)
