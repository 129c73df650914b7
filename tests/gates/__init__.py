"""Checks of the templates, the documents and the scripts, each by a tool that knows their rules."""
