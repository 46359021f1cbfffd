"""The slow tests, which are collected only with `--slow` or if they are named."""
