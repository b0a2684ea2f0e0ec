"""Figures: each function takes tables or arrays and returns a matplotlib Figure.

Nothing is fitted or selected here, so that a changed plot option never reruns physics.
"""
