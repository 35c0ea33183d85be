"""Autoencoders of images, of sequences and of words."""
