"""As whom an uplink connects: its client id, its user and password.

The password is read anew for each connection, and is in no station file.
"""

import asyncio

from shorewatch.config import Station, UplinkConfig
from shorewatch.errors import SecretError, UplinkError
from shorewatch.secret import read_secret


async def login_of(config: UplinkConfig) -> tuple[str, str | None] | None:
    """User and password; UplinkError (no-secret) if the password cannot be had."""
    if config.user is None:
        return None
    if config.password_file is None and config.password_credential is None:
        return config.user, None
    try:
        password = await asyncio.to_thread(
            read_secret, config.password_file, config.password_credential
        )
    except SecretError as error:
        raise UplinkError("no-secret", str(error)) from error
    return config.user, password


def client_id_of(station: Station, config: UplinkConfig) -> str:
    """The MQTT client id: as configured, else one that no other uplink has."""
    return config.client_id or f"shorewatch-{station.cable}-{station.id}-{config.id}"
