"""Put first on the path, this is soundfile with a decoder that crashes, for good, on files that contain its bane."""

import ctypes
import io
import sys
from pathlib import Path

_here = str(Path(__file__).parent)
sys.path = [path for path in sys.path if path != _here]
del sys.modules["soundfile"]
import soundfile  # noqa: E402

sys.path.insert(0, _here)  # for the processes that this one starts
BANE = b"the bane of decoders"
_open = soundfile.SoundFile.__init__


def _deadly(self, file, *args, **given):
    mode = args[0] if args else given.get("mode", "r")
    if mode == "r":
        content = file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
        if BANE in content:
            ctypes.string_at(0)
    _open(self, file, *args, **given)


soundfile.SoundFile.__init__ = _deadly
sys.modules["soundfile"] = soundfile
