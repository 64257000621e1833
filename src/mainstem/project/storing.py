"""What a branch does with stored data: verify, copy, bring back, delete, merge and drop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.project.branch import Branch
from mainstem.project.integrity import verify_all

if TYPE_CHECKING:
    from mainstem.ports import Verification
    from mainstem.project.backup import Backup
    from mainstem.project.compaction import Compacted
    from mainstem.project.garbage import Garbage


class Storing(Branch):
    """A branch with the methods that keep its stored data."""

    def check_files(self) -> Verification:
        """Read every data file that a release of any branch needs, and compare it with the checksum of its commit.

        Damaged files are not read from then on. The next run makes the tables that have them again.
        """
        return verify_all(self.adapters)

    def backup(self, to: str | Path) -> Backup:
        """Copy all that is stored (lake, state and online store, all branches) to a new directory, also while a server
        runs. Raises `SettingsError`, `StorageError` or `ConflictError`."""
        from mainstem.project.backup import back_up

        return back_up(self, Path(to))

    def restore(self, source: str | Path) -> Backup:
        """Bring back what a backup holds. Raises `StorageError` if anything is stored, or the backup is damaged."""
        from mainstem.project.backup import restore

        return restore(self.settings, Path(source))

    def gc(self) -> Garbage:
        """Delete data files that no release of any branch refers to, and unreadable data of the branch's online store.

        Returns the amounts as `files`, `records` and `states`.
        """
        from mainstem.project.garbage import collect_garbage

        return collect_garbage(self)

    def compact(self, *names: str) -> tuple[Compacted, ...]:
        """Merge the small data files of published relations, all if none is named. Their rows stay.

        Returns one record for each named relation, or for each that has small files. Raises `UnknownName`, and
        `ConflictError` while a run is in progress on the branch.
        """
        from mainstem.project.compaction import compact

        return compact(self, names)

    def drop(self, *names: str) -> tuple[str, ...]:
        """Publish the branch's release without nodes that are no longer declared, all if none is named. Return them.

        Raises `UnknownName` for one that is not published, `RequestError` for one that is declared, and `ConflictError`
        while a run is in progress on the branch.
        """
        from mainstem.project.dropping import drop

        return drop(self, names)
