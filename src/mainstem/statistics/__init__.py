"""Statistics of snapshots: counted, kept with the release, compared with their history, described and drawn on."""
