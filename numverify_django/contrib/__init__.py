"""Optional apps, each of which a site adds for itself."""
