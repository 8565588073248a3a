"""How published state lies in Redis, and the script that keeps the highest version.

| key below the prefix | holds |
|---|---|
| `state:{tenant}:{kind}` | hash: field → sealed value |
| `state-counter:{kind}` | grows with every change of the kind |
| `state-tenants:{kind}` | set of tenants that ever had an entry |
| `state-changed` | channel: `{kind, tenant, counter, fields}` as JSON |
| `state-wanted:{kind}` | channel: `[tenant, field]` as JSON, a reader's hint to the owner |
"""

from dataclasses import dataclass

from pydantic import Field, ValidationError

from interlock.contracts.message import Model

STORE = """
-- KEYS: hash, counter, tenants. ARGV: channel, kind, tenant, then (field, version, value, forged).
-- Stores what is higher than what is there, or replaces exactly the value known to be forged.
-- Answers with (field, value) of those that it left and that are not what was given.
local stored, left = {}, {}
for i = 4, #ARGV, 4 do
  local field, version, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local there = redis.call('HGET', KEYS[1], field)
  local number = there and tonumber(string.match(there, '^(%d+) ') or '0')
  if not there or number < tonumber(version) or there == ARGV[i + 3] then
    redis.call('HSET', KEYS[1], field, value)
    stored[#stored + 1] = field
  elseif there ~= value then
    left[#left + 1] = field
    left[#left + 1] = there
  end
end
if #stored > 0 then
  redis.call('SADD', KEYS[3], ARGV[3])
  local counter = redis.call('INCR', KEYS[2])
  redis.call('PUBLISH', ARGV[1], cjson.encode(
    {kind = ARGV[2], tenant = ARGV[3], counter = counter, fields = stored}))
end
return left
"""


@dataclass(frozen=True)
class Keys:
    """Names of keys and the channel, all below one prefix."""

    prefix: str

    @property
    def channel(self) -> str:
        return f"{self.prefix}state-changed"

    def wanted(self, kind: str) -> str:
        return f"{self.prefix}state-wanted:{kind}"

    def values(self, kind: str, tenant: str) -> str:
        return f"{self.prefix}state:{tenant}:{kind}"

    def counter(self, kind: str) -> str:
        return f"{self.prefix}state-counter:{kind}"

    def tenants(self, kind: str) -> str:
        return f"{self.prefix}state-tenants:{kind}"


class Announcement(Model):
    """What changed. Not believed: a hint where to look."""

    kind: str
    tenant: str
    counter: int
    fields: tuple[str, ...] = Field(min_length=1)


def announced_in(data: bytes) -> Announcement | None:
    """The announcement, or None where it is none."""
    try:
        return Announcement.model_validate_json(data)
    except ValidationError:
        return None
