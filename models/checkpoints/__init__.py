"""Where models are, how their files are read, and what names them in a store."""
