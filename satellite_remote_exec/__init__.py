"""Job templates for Satellite's remote execution."""
