"""The `assay` command. Commands are thin: what is heavy is imported inside it."""

from __future__ import annotations

import shlex
import signal
import sys

import typer

from assay.cli.auditors import auditors
from assay.cli.audits import audits
from assay.cli.organisms import organisms
from assay.cli.show import say
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
app.add_typer(auditors, name="auditors")
app.add_typer(organisms, name="organisms")
app.add_typer(testbeds, name="testbeds")
app.add_typer(suites, name="suites")
app.add_typer(tools, name="tools")


class _Stopped(BaseException):
    """Ctrl-C, as something no library turns into an abort of its own."""


def _stop(*_: object) -> None:
    raise _Stopped


def main() -> None:
    """Run the command; errors meant for a person are one message and exit status 2, Ctrl-C is 130."""
    from assay._util.disk_faults import told
    from assay.errors import AssayError

    # A KeyboardInterrupt would not come this far: libraries on the way turn it into an abort of their own, and the exit
    # status and what to do next would be lost.
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except AssayError as error:
        say(f"assay: {error}")
        sys.exit(2)
    except OSError as error:
        if not told(error):
            raise
        say(f"assay: {told(error)}")
        sys.exit(2)
    except _Stopped:
        say(f"\nStopped. What was finished is kept; go on with:\n  assay {shlex.join(sys.argv[1:])}")
        sys.exit(130)
