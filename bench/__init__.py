"""Measured ops and their peers: `python -m bench`."""
