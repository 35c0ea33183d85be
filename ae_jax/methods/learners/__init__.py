"""What makes a method of an objective: the steps that several methods share."""
