"""Every rule of the gateway, as pure functions."""
