"""To be written: make the tests pass."""
