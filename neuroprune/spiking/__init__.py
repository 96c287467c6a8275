"""Spiking networks on Brian2."""
