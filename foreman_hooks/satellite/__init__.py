"""Satellite's API, and what is known of hosts from it."""
