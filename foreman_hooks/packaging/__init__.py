"""What a distribution's package holds beside the Python code: its spec, the manual page, completion
for shells.
"""
