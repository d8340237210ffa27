"""Answers as files: what is in a table, and how it is written."""
