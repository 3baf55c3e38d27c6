"""Filters: what hears through an audiogram. Found by entry points, group `audiogram.filters`; see `registry`."""
