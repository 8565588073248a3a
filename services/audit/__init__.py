"""Audit: the ledger of everything that happened.

Decides nothing about tasks. Reads every topic but `task.submitted`, messages that cannot be
believed or read included, and states nothing. Owns the ledger's shards, their signed checkpoints
(also kept outside its database), and the answers to who did what, when, and under which policy.
"""
