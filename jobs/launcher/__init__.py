"""Runs Vignette on one machine that has nothing else: embedded Redis and PostgreSQL under VAR, a command on them."""
