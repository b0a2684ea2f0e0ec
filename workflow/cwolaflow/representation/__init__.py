"""Representations of an event that a classifier can take."""
