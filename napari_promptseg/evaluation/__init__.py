"""Evaluation: metrics, labelled data packs and reports."""
