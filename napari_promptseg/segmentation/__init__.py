"""Segmentation: from features and prompts to labels at pixel resolution."""
