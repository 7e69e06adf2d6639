"""The commands, a file a topic; foreman_hooks.cli loads the one that is asked for."""
