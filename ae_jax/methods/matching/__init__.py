"""Generators that are trained without an adversary."""
