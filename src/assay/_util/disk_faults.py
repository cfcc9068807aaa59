"""Faults of a disk, as a person can mend them: told in one line, where another OSError is a fault of the program."""

from __future__ import annotations

import errno

_FAULTS = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR,
    errno.ENAMETOOLONG,
})  # fmt: skip


def told(error: OSError) -> str:
    """Say what is wrong with a disk and what to do; "" for any other error."""
    if error.errno not in _FAULTS:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}. What was finished is kept: make room, or give another folder, and run again."
