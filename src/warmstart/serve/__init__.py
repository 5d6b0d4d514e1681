"""The server: models over HTTP, and a page for people who type no commands. Needs the extra `serve`."""
