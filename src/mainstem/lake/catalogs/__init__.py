"""The catalogs of a lake: an SQL database, or a server that speaks Iceberg's REST protocol."""
