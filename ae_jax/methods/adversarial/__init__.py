"""Learners of several players."""
