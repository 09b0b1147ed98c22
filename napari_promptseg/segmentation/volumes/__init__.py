"""Volumes: planes cut along any axis, all of them segmented, cleaned up in three dimensions and measured."""
