"""Several runs that make one model."""
