"""Keeps OpenMP's threads from spinning on cores that others need."""

from __future__ import annotations

import os

SPINS = "3000"  # measured: docs/decisions/021


def bound_spinning() -> None:
    """Bounds how long torch's threads spin at the end of each operator, waiting for the slowest of them.

    By default GNU's OpenMP, which torch's wheels bring, lets them spin for milliseconds. They use up their turn so, and
    have to wait for the next one where another process wants the core too. OpenMP reads the variable when it is loaded:
    after torch was imported this changes nothing. A person's own `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` stays.
    """
    if not os.environ.get("GOMP_SPINCOUNT") and not os.environ.get("OMP_WAIT_POLICY"):
        os.environ["GOMP_SPINCOUNT"] = SPINS
