"""The provider of the device key, as the operator's configuration says."""

from pathlib import Path

from keystead.platform.device_key import DeviceKeyProvider, InClear
from keystead.platform.image_policy import ImagePolicy
from keystead.platform.pcrs import PcrSelection
from keystead.processes.platform.settings import DeviceKeySettings
from keystead.processes.platform.tpm_package import package_missing


def device_key_provider(settings: DeviceKeySettings) -> DeviceKeyProvider:
    """Return the provider in `settings`. Raises StartRefused if its library is not installed."""
    match settings.provider:
        case "file":
            return InClear()
        case "credential":
            return _credential(settings)
        case "tpm2":
            return _tpm2(settings)


def _credential(settings: DeviceKeySettings) -> DeviceKeyProvider:
    # The other providers need no cryptography, which takes 3 MiB of the platform's memory.
    from keystead.platform.device_key_credential import UnderCredential  # noqa: PLC0415 - see above

    directory = settings.credentials_directory
    return UnderCredential(None if directory is None else Path(directory), settings.credential)


def _tpm2(settings: DeviceKeySettings) -> DeviceKeyProvider:
    try:
        from keystead.platform.device_key_tpm2 import Images, InTpm  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise package_missing("The device key provider tpm2", error) from error
    pcrs = PcrSelection.parse(settings.pcrs)
    images = None
    if settings.image_key_pem is not None and settings.image_policy is not None:
        images = Images(settings.image_key_pem, ImagePolicy.parse(settings.image_policy))
    return InTpm(settings.tcti, pcrs, numbers_seals=settings.revoke_older, images=images)
