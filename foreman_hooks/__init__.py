"""Remove the Satellite host records of terminated OpenStack instances, and no others."""
