"""Several runs that make one model, and what is made of trained ones."""
