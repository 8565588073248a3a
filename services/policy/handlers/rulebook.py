"""The policy sets in force, how they change, and how a change elsewhere is noticed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from interlock.bus import Stamp, Together
from interlock.contracts.access import PolicySetRecord
from interlock.contracts.changes import PolicyPublished
from interlock.contracts.ids import derived
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.errors import Refused
from interlock.policy import LoadedPolicies, PolicySets, load
from services.policy import decide
from services.policy.model import PolicyVersion
from services.policy.store import Sets

log = structlog.get_logger()
ATTEMPTS = 3


class Rulebook:
    """Each tenant's newest set, in memory; a change here is in force here at once."""

    def __init__(self, sets: Sets, stamp: Stamp, now: Callable[[], datetime]) -> None:
        self.sets = sets
        self._stamp = stamp
        self._now = now
        self._current: dict[str, PolicyVersion] = {}
        self._loaded = PolicySets(load)
        self._from_folder: dict[str, tuple[str, ...]] = {}
        self._kept_up = 0
        self._read = Together(self._read_all)

    def of(self, tenant: str) -> LoadedPolicies:
        """What is in force for `tenant`; `Refused` (`invalid_policy`) if it cannot be loaded."""
        newest = self._current.get(tenant)
        return self._loaded.of(tenant, None if newest is None else newest.record)

    def newest(self, tenant: str) -> PolicyVersion:
        """The version in force; version 0, without any policy, where there is none."""
        newest = self._current.get(tenant)
        if newest is not None:
            return newest
        return PolicyVersion(PolicySetRecord(tenant=tenant, version=0), self._now(), "", "")

    async def refresh(self) -> None:
        """Look for changes by other replicas; `Unavailable` where that is not possible."""
        await self._read(None)

    async def keep_up(self, published: int) -> None:
        """`refresh`, if since the last time anything was `published` (the view's version).

        What a replica has put in force, and said so, holds for the next decision of all of them;
        `refresh` now and then is for announcements that get lost.
        """
        if published != self._kept_up:
            await self.refresh()
            self._kept_up = published

    async def put(self, tenant: str, name: str, text: str, by: Principal) -> PolicyVersion:
        """Put a policy in force; `Refused` (`invalid_policy`) names what is wrong and where."""
        decide.require_own(name, self._from_folder.get(tenant, ()))
        record = await self._latest(tenant)
        return await self._change(decide.with_policy(record, name, text), by, name)

    async def delete(self, tenant: str, name: str, by: Principal) -> PolicyVersion:
        """Take a policy out of force."""
        decide.require_own(name, self._from_folder.get(tenant, ()))
        record = await self._latest(tenant)
        return await self._change(decide.without_policy(record, name), by, name)

    async def permit(
        self, agent: str, permissions: Sequence[str], approval: Sequence[str], by: Principal
    ) -> PolicyVersion:
        """Set what an agent of `by`'s tenant was given."""
        record = await self._latest(by.tenant)
        given = decide.with_permissions(record, agent, permissions, approval)
        return await self._change(given, by, f"permissions of {agent}")

    async def take_folder(self, tenant: str, texts: Mapping[str, str]) -> PolicyVersion:
        """Put the operator's files in force, those that are gone out of force.

        Nothing changes where nothing differs; several replicas may start at once.
        """
        by = Principal(tenant=tenant, kind=PrincipalKind.SERVICE, name="policy")
        names = tuple(sorted(texts))
        for attempt in range(1, ATTEMPTS + 1):
            record = await self._latest(tenant)
            gone = {*self.newest(tenant).from_folder} - texts.keys()
            wanted = decide.with_policies(record, texts, gone)
            try:
                return await self._change(wanted, by, "the operator's folder", names)
            except Refused as error:
                if error.code != "conflict" or attempt == ATTEMPTS:
                    raise
            finally:
                self._from_folder[tenant] = names
        raise AssertionError("the last attempt returns or raises")

    async def _change(
        self,
        wanted: PolicySetRecord,
        by: Principal,
        what: str,
        from_folder: tuple[str, ...] | None = None,
    ) -> PolicyVersion:
        newest = self.newest(wanted.tenant)
        names = newest.from_folder if from_folder is None else from_folder
        if wanted == newest.record and names == newest.from_folder:
            self.of(wanted.tenant)
            return newest
        record = wanted.model_copy(update={"version": newest.record.version + 1})
        load(record)
        made = PolicyVersion(record, self._now(), by.label, what, names)
        fact = PolicyPublished(
            by=by,
            tenant=record.tenant,
            name=what,
            version=record.version,
            record_digest=digest_of(record.model_dump_json()),
        )
        fact_id = derived("policy_set", record.tenant, record.version)
        await self.sets.add(made, self._stamp.state(fact, fact_id, None, None))
        self._take(made)
        return made

    async def _latest(self, tenant: str) -> PolicySetRecord:
        await self.refresh()
        return self.newest(tenant).record

    async def _read_all(self, asked: Sequence[None]) -> Sequence[None]:
        for tenant, version in (await self.sets.versions()).items():
            known = self._current.get(tenant)
            if known is None or known.record.version < version:
                found = await self.sets.get(tenant)
                if found is not None:
                    self._take(found)
        return asked

    def _take(self, made: PolicyVersion) -> None:
        tenant = made.record.tenant
        known = self._current.get(tenant)
        if known is not None and known.record.version >= made.record.version:
            return
        self._current[tenant] = made
        try:
            self.of(tenant)
        except Refused as error:  # valid when it was written: each of its tasks is denied now
            log.warning("policy.invalid", tenant=tenant, why=error.detail)
        else:
            log.info("policy.loaded", tenant=tenant, version=made.record.version)
