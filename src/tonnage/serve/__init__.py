"""The server: every path is answered by `tonnage.pages`, whose functions are pure. Needs the extra `serve`."""
