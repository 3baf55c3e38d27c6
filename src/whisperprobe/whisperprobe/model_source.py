"""Where a model's files are: a folder, or a copy of a model on the hub."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from pathlib import Path

from audiogram.errors import InputError

__all__ = ["folder_of"]

_PATIENCE = 5.0  # s to reach the hub; its own client tries for half a minute before it says that there is no network


def folder_of(model: str | Path) -> Path:
    """The folder that holds a model's files: the path itself, or where the hub's copy lies, fetched where it must be.

    Parameters
    ----------
    model : str or Path
        A folder, or a hub name such as ``openai/whisper-small``.

    Returns
    -------
    Path
        A folder that is there.

    Raises
    ------
    InputError
        There is no such folder, and it is no name of a model, or one that cannot be fetched. Without a network it is
        said at once.
    """
    name, folder = str(model), Path(model)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InputError(f"{name} is a file, not a model folder. Give the folder that holds its config.json.")
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"there is no model folder {name!r}. Check the path; a hub name looks like openai/whisper-small."
        )
    parent = folder.parts[0]
    if Path(parent).is_dir():
        raise InputError(
            f"there is no model folder {name!r}, though there is a folder {parent!r} here. Check the path; for a model "
            f"of that name on the hub start elsewhere."
        )
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from transformers.utils.hub import cached_file

    try:
        config = try_to_load_from_cache(name, "config.json")
        if not isinstance(config, str):
            _check_network(name)
            config = cached_file(name, "config.json")
    except (OSError, HFValidationError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{name!r} is neither a folder here nor a model that can be fetched: {reason}") from error
    return Path(str(config)).parent


def _check_network(name: str) -> None:
    """Say at once that there is no network, where the hub's client would try again and again."""
    from huggingface_hub import constants

    hub = urllib.parse.urlsplit(constants.ENDPOINT)
    why = "HF_HUB_OFFLINE forbids to fetch it" if constants.HF_HUB_OFFLINE else ""
    if not why and hub.scheme not in urllib.request.getproxies():  # whoever has a proxy need not see the hub itself
        try:
            port = hub.port or {"http": 80}.get(hub.scheme, 443)
            socket.create_connection((hub.hostname or "", port), timeout=_PATIENCE).close()
        except OSError as error:
            why = f"{hub.hostname} cannot be reached ({error})"
    if why:
        raise InputError(
            f"{name!r} is neither a folder here nor a model fetched before, and {why}. Check the path, or fetch it "
            f"where there is a network: hf download {name}"
        )
