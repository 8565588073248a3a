"""The ledger: its records, its checkpoints, its exports, and how anybody verifies them offline.

Pure but for files: no network, no clock. The service `audit` writes it. Verification of its
database is imported by name, from `interlock.ledger.database`.
"""

from interlock.ledger.checkpoint import (
    SIGNER,
    Anchor,
    Checkpoint,
    FolderAnchor,
    Head,
    moved,
    read_checkpoint,
    sign_checkpoint,
)
from interlock.ledger.export import ExportWriter, read_export
from interlock.ledger.record import NOBODY, Entry, Origin, Record, keep, link, parts
from interlock.ledger.report import Fault, Finding, OpenTask, Report, ShardReport
from interlock.ledger.verify import Verifier, verify_export

__all__ = [
    "NOBODY",
    "SIGNER",
    "Anchor",
    "Checkpoint",
    "Entry",
    "ExportWriter",
    "Fault",
    "Finding",
    "FolderAnchor",
    "Head",
    "OpenTask",
    "Origin",
    "Record",
    "Report",
    "ShardReport",
    "Verifier",
    "keep",
    "link",
    "moved",
    "parts",
    "read_checkpoint",
    "read_export",
    "sign_checkpoint",
    "verify_export",
]
