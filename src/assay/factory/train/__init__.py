"""Trains organisms: torch on this machine."""

from assay._util.openmp import bound_spinning

bound_spinning()  # here, since what trains loads torch, and with it OpenMP, which reads it once
