"""The methods of ``explain``, one file each, and their registry.

``proxyspex_paper`` is the published recipe of ``proxyspex``, ``orders`` what the baselines of
higher order share, and ``baselines`` their configurations under one name.
"""
