"""Launchers for engines that run as plain host processes. Each is a program, not a library."""
