"""Launchers that start a real engine as a plain process on this machine."""
