"""The `assay` command. Commands are thin: what is heavy is imported inside it."""

from __future__ import annotations

import errno
import shlex
import signal
import sys
import traceback

import typer

from assay.cli.auditors import auditors
from assay.cli.audits import audits
from assay.cli.examine import examining
from assay.cli.judge import judge
from assay.cli.organisms import organisms
from assay.cli.serve import serving
from assay.cli.show import say, speak_plainly
from assay.cli.suites import suites
from assay.cli.testbeds import testbeds
from assay.cli.tools import tools

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Alignment auditing with a number that goes up: which tool makes an auditor succeed more often?",
)
app.add_typer(audits)
app.add_typer(examining)
app.add_typer(serving)
app.add_typer(auditors, name="auditors")
app.add_typer(judge, name="judge")
app.add_typer(organisms, name="organisms")
app.add_typer(testbeds, name="testbeds")
app.add_typer(suites, name="suites")
app.add_typer(tools, name="tools")


_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}


class _Stopped(BaseException):
    """Ctrl-C, as something no library turns into an abort of its own."""


def _stop(*_: object) -> None:
    raise _Stopped


def main() -> None:
    """Run the command; errors meant for a person are one message and exit status 2, Ctrl-C is 130."""
    from assay._util.disk_faults import told
    from assay._util.openmp import bound_spinning
    from assay._util.process_title import hide_command_line
    from assay.errors import AssayError

    bound_spinning()  # before any command loads torch; the processes it starts inherit it

    # Processes that play audits can read the command lines of those that started them, and this one names testbeds.
    hide_command_line("assay")
    speak_plainly()
    # A KeyboardInterrupt would not come this far: libraries on the way turn it into an abort of their own, and the exit
    # status and what to do next would be lost.
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except AssayError as error:
        say(f"assay: {error}")
        sys.exit(2)
    except Exception as error:
        # A folder that may not be written, wherever it was noticed, is nothing that a traceback would explain.
        if isinstance(error, OSError) and told(error):
            say(f"assay: {told(error)}")
            sys.exit(2)
        # Not 1, which Python would end with: that is how a command says that its result is "no".
        traceback.print_exc()
        say("assay: this is a fault of Assay's own, not of what it was given. Please report it with the lines above.")
        sys.exit(2)
    except _Stopped:
        say(f"\nStopped. What was finished is kept; go on with:\n  assay {shlex.join(sys.argv[1:])}")
        sys.exit(130)
