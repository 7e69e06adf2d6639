"""The rules: pure functions of what was observed."""
