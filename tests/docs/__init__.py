"""The manual: README.md and docs/, held against the program."""
