"""Networks of every kind, and what is done to them: the table of docs/networks.md."""
