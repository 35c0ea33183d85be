"""What is passed to methods and brings numbers of its own."""
