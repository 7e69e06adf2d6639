"""The commands, one file each; main.py loads the one that is called."""
