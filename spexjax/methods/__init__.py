"""The methods of ``explain``, one file each, and their registry."""
