"""The local engine: torch on this machine."""

from assay._util.openmp import bound_spinning

bound_spinning()  # here, since every module of this package loads torch, and with it OpenMP, which reads it once
