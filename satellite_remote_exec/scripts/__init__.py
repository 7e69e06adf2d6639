"""What the job templates run on their target hosts: Python 3.6 or newer, its standard library and
nothing else.
"""
