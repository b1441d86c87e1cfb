"""Logging in on a desktop with the SIM of a phone."""
