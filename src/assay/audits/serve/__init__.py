"""Serves audits to an agent that speaks the Model Context Protocol. It is an audit process: it knows no answer."""
