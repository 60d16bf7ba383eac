# SPDX-License-Identifier: Apache-2.0
"""A file system that does not answer, as one of a server that is away: one of FUSE that nobody serves."""
import contextlib
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_NOSUID_NODEV = 6
_DETACH = 2


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), name)


@contextlib.contextmanager
def hung(path):
    """At this directory, which is as before when the block ends; who hangs on it then gets an error."""
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={fuse},rootmode=40755,user_id=0,group_id=0,allow_other"
        _call("mount", b"nobody", path.encode(), b"fuse", _NOSUID_NODEV, options.encode())
        try:
            yield
        finally:
            _call("umount2", path.encode(), _DETACH)
    finally:
        os.close(fuse)
