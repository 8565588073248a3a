"""What every service agrees on. Imports no service."""
