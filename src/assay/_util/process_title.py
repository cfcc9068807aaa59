"""Takes a command's words out of the lists of processes, where each process of the machine could read them."""

from __future__ import annotations


def hide_command_line(title: str) -> bool:
    """Put a title in the place of this process's command line and of the environment it was started with.

    The variables themselves stay; what goes is the copy that `ps` and /proc show. Call it early: what was read before
    is known.

    Args:
        title: all that is told from then on.

    Returns:
        Whether it was done. Without the library `setproctitle`, and where a system has no such list, it is not.
    """
    try:
        from setproctitle import setproctitle
    except ImportError:
        return False
    setproctitle(title)
    return True
