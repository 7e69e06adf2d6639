"""What people and programs read: listings, documents, the HTML report, metrics and the log."""
