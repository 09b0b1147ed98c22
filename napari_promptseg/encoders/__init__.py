"""Encoders: frozen image and text towers behind one face, their dense features and cache."""
