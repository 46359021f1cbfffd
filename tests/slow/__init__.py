"""The tests that take long: they are collected with `--slow`, or where they are named."""
