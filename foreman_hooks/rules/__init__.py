"""The rules: pure functions of what a run observed."""
