"""The ``neurovis`` command: one small file for each subcommand."""
