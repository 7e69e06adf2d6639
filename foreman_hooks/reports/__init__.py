"""What people and machines read: listings, the HTML report, metrics and the log."""
