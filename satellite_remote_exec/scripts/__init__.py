"""The scripts that the job templates carry to their target hosts.

publish_identity and clean_up need Python 3.6 or newer and the standard library only;
check_instances needs Python 3.9 or newer and the OpenStack packages that it checks for.
"""
