"""Measurements of speed and quality, run from a source checkout: ``python -m benchmarks NAME --json OUT``.

Each benchmark is one module here with two functions, found by its name: ``add_arguments(parser)`` and
``run(args) -> dict`` of plain values.
"""
