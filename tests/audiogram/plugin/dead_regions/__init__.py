"""Cochlear dead regions: frequencies that no inner hair cell answers to."""
