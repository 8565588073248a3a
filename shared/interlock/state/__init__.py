"""Published state: each kind has one owner and many readers."""
