"""Prompts: what each class is, as words, regions and learned vectors."""
