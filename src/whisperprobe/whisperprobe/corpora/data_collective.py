"""The official client of the Mozilla Data Collective, watched while it works.

The client (`datacollective`) knows the service, the key and how to go on where a download broke off. But it appends
whatever the server sends then, ends at no signal, and shows links to archives in its errors and logs. Its HTTP library
is the one seam that it leaves: `ClientWatch` takes that place while the client works.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from audiogram.console import check_stop
from audiogram.corpus.files import cannot_write
from audiogram.errors import AudiogramError, InputError, WorkError

__all__ = ["GO_ON", "SITE", "ClientWatch", "check_key", "load_client"]

GO_ON = "start the same command again; it goes on where this one ended."
SITE = "https://mozilladatacollective.com"
_KEY = "MDC_API_KEY"


def load_client() -> Any:
    """Import the client, or say how to install it."""
    try:
        client = importlib.import_module("datacollective")
        importlib.import_module("datacollective.api_utils")
    except ModuleNotFoundError as error:
        raise InputError(
            f"downloading needs {error.name}, which is not installed; pip install 'whisperprobe[commonvoice]'."
        ) from None
    return client


def check_key() -> None:
    """Refuse what cannot be a key, before it is part of an error of a library."""
    key = os.environ.get(_KEY, "")
    if not key:
        raise InputError(
            f"the environment variable {_KEY} is not set. Make a key at {SITE}/api-reference, then: export {_KEY}=..."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the environment variable {_KEY} holds a space, a line break or a character that no key has.")


class ClientWatch:
    """Stands in for the client's `requests`: counts, stops on request, and lets nothing be appended to the wrong place.

    Parameters
    ----------
    dataset : str
        What is downloaded.
    requests : module
        What the client uses.

    Attributes
    ----------
    advance : callable
        Told the bytes of each block of an archive.
    session : dict or None
        What the service answered when it was asked for the archive.
    """

    def __init__(self, dataset: str, requests: Any) -> None:
        self._dataset, self._requests = dataset, requests
        self._status: int | None = None
        self._wait: str | None = None
        self._said = ""
        self._transfer = False
        self.session: dict[str, Any] | None = None
        self.advance: Callable[[int], None] = lambda count: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._requests, name)

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Do a request for the client."""
        check_stop()
        self._status, self._transfer = None, bool(options.get("stream"))
        response = self._requests.request(method, url, **options)
        self._status, self._wait = response.status_code, response.headers.get("Retry-After")
        if response.status_code >= 400:
            with contextlib.suppress(ValueError, AttributeError, self._requests.RequestException):
                self._said = str(response.json().get("message") or response.json().get("error") or "")
        elif not self._transfer and method.upper() == "POST":
            self.session = dict(response.json())
        elif self._transfer:
            self._check_place(response, (options.get("headers") or {}).get("Range"))
            content = response.iter_content

            def counted(*given: Any, **named: Any) -> Iterator[bytes]:
                for chunk in content(*given, **named):
                    check_stop()
                    yield chunk
                    self.advance(len(chunk))

            response.iter_content = counted
        return response

    def _check_place(self, response: Any, asked: str | None) -> None:
        """Refuse an answer that does not begin where the file that it will be appended to ends."""
        start = asked.removeprefix("bytes=").rstrip("-") if asked else None
        place = str(response.headers.get("Content-Range", ""))
        right = response.status_code == 200 if start is None else response.status_code == 206
        if not right or (start is not None and not place.startswith(f"bytes {start}-")):
            response.close()
            what = (
                f"206 but with {place or 'no Content-Range'}" if response.status_code == 206 else response.status_code
            )
            raise WorkError(
                f"the server does not resume: asked for what follows byte {start or 0}, it answered {what}. Nothing "
                "was appended. Try again later, or remove the folder .download in the output folder to begin anew."
            )

    @contextlib.contextmanager
    def over(self, client: Any, part: Path | None = None) -> Iterator[None]:
        """Watch the client; what it raises becomes an error that says what to do and gives no secret away.

        Links to files are secrets too: whoever has one may fetch the file. The client's errors and logs show them.
        """
        loggers = [logging.getLogger(name) for name in ("datacollective", "urllib3", "requests")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        client.api_utils.requests = self
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            raise self._meaning(error, part) from None
        finally:
            client.api_utils.requests = self._requests
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

    def _meaning(self, error: BaseException, part: Path | None) -> BaseException:
        cause = error.__cause__ if type(error).__name__ == "DownloadError" and error.__cause__ else error
        if isinstance(cause, AudiogramError | KeyboardInterrupt):
            return cause.with_traceback(None)
        if self._status is not None and self._status >= 400:
            return self._meaning_of_status(self._status)
        if isinstance(cause, self._requests.RequestException):
            there = part.stat().st_size if part is not None and part.is_file() else 0
            return WorkError(
                f"the connection to the Data Collective broke ({type(cause).__name__}; {there / 1e6:.1f} MB are there)."
                f" Is the network up? Then {GO_ON}"
            )
        if isinstance(cause, OSError) and cause.errno and part is not None:
            return cannot_write(part, cause)
        return WorkError(
            f"the Data Collective answered something unexpected about {self._dataset} ({type(cause).__name__}). Is "
            "MDC_API_URL right? Otherwise try again later."
        )

    def _meaning_of_status(self, status: int) -> AudiogramError:
        said = f" The server says: {self._without_secrets(self._said)}" if self._said else ""
        if self._transfer:
            return WorkError(f"the store of the archives answered {status}: the link may have expired; {GO_ON}{said}")
        if status == 401:
            return InputError(
                f"401: the key in {_KEY} is not accepted: wrong, expired or revoked. Make a new one at "
                f"{SITE}/api-reference and set {_KEY} to it.{said}"
            )
        if status == 403:
            return InputError(
                f"403: access to {self._dataset} is refused, most likely because its terms have not been accepted. "
                f"Accept them on its page, {SITE}/datasets/{self._dataset}, then start the same command again.{said}"
            )
        if status in (404, 410):
            what = "there is no such dataset" if status == 404 else "the dataset has been removed"
            return InputError(
                f"{status}: {what}: {self._dataset}. Is the id or slug that of its page's address? A new release has a "
                f"new one: {SITE}/datasets.{said}"
            )
        if status == 429:
            wait = f"{self._wait} s" if self._wait and self._wait.isdigit() else "an hour"
            return WorkError(f"429: too many requests with this key. Wait {wait}, then {GO_ON}{said}")
        where = "has trouble" if status >= 500 else "refuses the request"
        return WorkError(f"{status}: the Data Collective {where}. Try again later.{said}")

    def _without_secrets(self, text: str) -> str:
        key = os.environ.get(_KEY) or None
        text = re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", " ".join(text.split()))
        return (text.replace(key, "***") if key else text)[:200]
