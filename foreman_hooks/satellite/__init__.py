"""Satellite's API, and what it says about hosts."""
