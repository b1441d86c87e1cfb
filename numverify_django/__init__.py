"""Log in to a Django site with the SIM in one's phone (GSMA Open Gateway Number Verification)."""
