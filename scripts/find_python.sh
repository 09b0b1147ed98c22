#!/bin/sh
# Print a Python interpreter that is new enough, or say in one sentence what is missing.
# PYTHON=/path/to/python chooses one by hand.

new_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if new_enough "$PYTHON"; then
        echo "$PYTHON"
        exit 0
    fi
    echo "PYTHON=$PYTHON is not a working Python 3.11 or newer: name another one, or leave PYTHON out." >&2
    exit 1
fi

for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    if new_enough "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done

found=$(python3 --version 2>&1) || found="no Python 3 at all"
echo "Python 3.11 or newer is needed and this machine offers $found: install one (for example 'apt-get install python3.11 python3.11-venv', or from python.org), then run the same command again, if need be with PYTHON=/path/to/python3.11." >&2
exit 1
