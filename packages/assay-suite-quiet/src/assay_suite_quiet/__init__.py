"""The quiet suite. It is data: Assay finds this folder by its entry point and never runs code in it."""
