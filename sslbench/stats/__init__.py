"""Intervals, paired tests and ranks: numbers in, numbers out."""
