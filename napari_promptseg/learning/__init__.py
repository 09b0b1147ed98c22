"""Learning: from the user's corrections to better prompts."""
