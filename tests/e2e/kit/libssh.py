# SPDX-License-Identifier: Apache-2.0
"""Which libssh the worker has: what it does of itself is not the same in all of them."""
import ctypes

_version = ctypes.CDLL("libssh.so.4").ssh_version
_version.restype = ctypes.c_char_p

VERSION = tuple(int(n) for n in _version(0).decode().split("/", maxsplit=1)[0].split("."))
KEEPS_WINDOWS = VERSION >= (0, 11)  # what is more than a window is not taken
