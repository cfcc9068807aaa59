"""Says what a fault of the database means for whoever runs a sweep."""

from __future__ import annotations

from pathlib import Path

from assay.errors import AssayError, InvalidInput


def explained(path: Path, error: BaseException | None, waited: float) -> AssayError:
    """Says what went wrong in SQLite, and what to do about it.

    Args:
        path: of the ledger.
        error: of the driver.
        waited: seconds that a writer waits for another.
    """
    said = str(error)  # the driver's classes are too coarse: a full disk and a lock are both an OperationalError
    if "not a database" in said:
        return InvalidInput(f"{path} is not a ledger ({said}). Give another path.")
    if "readonly" in said or "unable to open" in said:
        return InvalidInput(f"{path} cannot be written ({said}). Check its permissions and its folder's.")
    if "full" in said:
        return AssayError(f"{path}: the disk is full. What was recorded is kept: free some space and run again.")
    if "I/O error" in said:  # a quota, a limit on the size of files, a disk that is gone or dying
        return AssayError(
            f"{path}: the disk takes no more ({said}). What was recorded is kept: make room, or copy the folder to "
            f"another disk, and run again."
        )
    if "locked" in said or "busy" in said:
        return AssayError(f"{path}: another process has held it for {waited:.0f} s. End that one and run again.")
    return InvalidInput(f"{path} is damaged or not a ledger ({said}). Restore a copy, or give another path and re-run.")
