"""Methods made of another method, which sees other data."""
