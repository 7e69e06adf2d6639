"""What lets cron, systemd and Satellite's events run us: the files there have to be, and their
installation.
"""
