"""What must happen at once in Redis, as Lua. The rules are those of `decide.merge`; a test holds
the two to each other.

A snapshot is a hash: `digest` (of the request), `task` (JSON, where the door took it in), `state`,
`rank`, `type`, `fact_id`, `fact` (the standing fact's body), `created`, `updated`, `doors`
(replicas that wait, each before a comma), `out_round`, `out_attributes` and `out_body` (the request
until the bus has it), `told` (its client knows its end), and `e:<id>` for every event that was
merged. Until the end there are also `arguments` and `client` (what later rounds bring along),
`answers` (to what is asked now), `in:<round>:<key>` for each, and `given:<round>` (the digest of a
round's input). Its log is a list beside it. Equal calls that may not be repeated are in a sorted
set: task ids by the millisecond of Redis's clock until which somebody surely waits. Each script
begins with `#!lua`: then Redis refuses it when memory is full, before it did anything. One node
holds all keys, so those named by a member of an index are not in KEYS.
"""

_WRITE = """
local last = first - 1 + ARGV[first - 1]
if stream then
  redis.call('XADD', stream, '*', unpack(ARGV, last + 1))
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], unpack(ARGV, first, last))
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[2])
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[6])
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - ARGV[7])
return 0
"""

ACCEPT = (
    """#!lua
-- KEYS: hash, unpublished, deadlines, principal's index; the bus's stream, where it is here.
-- ARGV: digest, member, created ms, publish again ms, ask ms, task id, most recent, how many parts
--   the fields have, field, value..., then those of the request in the bus's stream.
local first, stream = 9, KEYS[5]
local there = redis.call('HGET', KEYS[1], 'digest')
if there then
  if there == ARGV[1] then return 1 end
  return 2
end"""
    + _WRITE
)

REJOIN = (
    """#!lua
-- ACCEPT of a call that may not be repeated. Gives the id of the earlier one that it is; or, in a
-- list, the ms since which an earlier one must have shown life to be another's.
-- KEYS: the first four of ACCEPT, equal calls; the bus's stream, where it is here.
-- ARGV: those of ACCEPT up to the fields, ms of a lease, what InDoubt said or '', oldest end that
--   is told, rank of ends, prefix of tasks, ms to keep, ms till a loss is noticed, what ACCEPT has
--   from the number of parts on.
local first, stream, clock = 16, KEYS[6], redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local since = tonumber(ARGV[9]) or now + ARGV[14]
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now)) do
  local there = redis.call('HMGET', ARGV[12] .. id, 'state', 'rank', 'updated', 'told')
  local state, rank, updated, told = there[1], there[2], there[3], there[4]
  if state and (rank < ARGV[11] or state == 'unknown' or
      (state ~= 'cancelled' and not told and updated >= ARGV[10])) then
    redis.call('ZADD', KEYS[5], now + ARGV[8], id)
    return id
  end
  redis.call('ZREM', KEYS[5], id)
end
if redis.call('ZCOUNT', KEYS[5], '-inf', '(' .. (since + ARGV[8])) > 0 then return {since} end
redis.call('ZADD', KEYS[5], now + ARGV[8], ARGV[6])
redis.call('PEXPIRE', KEYS[5], ARGV[5] - ARGV[3] + ARGV[13])"""
    + _WRITE
)

RENEW = """#!lua
-- KEYS: equal calls of each. ARGV: ms of a lease, task id of each.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for at = 1, #KEYS do redis.call('ZADD', KEYS[at], 'XX', now + ARGV[1], ARGV[at + 1]) end
return 1
"""

LEAVE = """#!lua
-- KEYS: hash, equal calls. ARGV: task id, 1 if its client was told its end.
if ARGV[2] == '0' then return redis.call('ZADD', KEYS[2], 'XX', 0, ARGV[1]) end
local state = redis.call('HGET', KEYS[1], 'state')
if state then redis.call('HSET', KEYS[1], 'told', 1) end
if state == 'unknown' then return redis.call('ZADD', KEYS[2], 'XX', 0, ARGV[1]) end
return redis.call('ZREM', KEYS[2], ARGV[1])
"""

ASK = """#!lua
-- KEYS: tasks under one id of a request. ARGV: task id, ms to keep.
redis.call('SADD', KEYS[1], ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

PROJECT = """#!lua
-- KEYS: hash, log, deadlines, principal's index.
-- ARGV: event id, rank, state, type, time, body, weight (`merge.Weight`), digest, member, ask ms,
--   created ms, task id, own replica, prefix of channels, ms to keep, rank of ends, most progress,
--   body for the log.
if redis.call('HSETNX', KEYS[1], 'e:' .. ARGV[1], 1) == 0 then return 0 end
local now = redis.call('HMGET', KEYS[1], 'rank', 'fact_id', 'created', 'doors')
local rank, fact_id, created, doors = now[1] or '', now[2] or '', now[3], now[4] or ''
if ARGV[7] == '1' and ARGV[2] < rank then return 0 end
if rank == '' then
  redis.call('HSET', KEYS[1], 'digest', ARGV[8])
  redis.call('ZADD', KEYS[3], ARGV[10], ARGV[9])
  redis.call('ZADD', KEYS[4], ARGV[11], ARGV[12])
end
if not created or ARGV[5] < created then redis.call('HSET', KEYS[1], 'created', ARGV[5]) end
local applied = 1
if ARGV[2] > rank or (ARGV[2] == rank and rank < ARGV[16] and ARGV[1] > fact_id) then
  applied, rank = 2, ARGV[2]
  redis.call('HSET', KEYS[1], 'rank', rank, 'state', ARGV[3], 'type', ARGV[4],
    'fact_id', ARGV[1], 'fact', ARGV[6], 'updated', ARGV[5])
end
if ARGV[7] == '0' or redis.call('LLEN', KEYS[2]) < tonumber(ARGV[17]) then
  redis.call('RPUSH', KEYS[2], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[18])
end
if rank >= ARGV[16] then
  redis.call('ZREM', KEYS[3], ARGV[9])
  redis.call('HDEL', KEYS[1], 'arguments', 'client')
  redis.call('PEXPIRE', KEYS[1], ARGV[15])
  redis.call('PEXPIRE', KEYS[2], ARGV[15])
end
for door in string.gmatch(doors, '[^,]+') do
  if door ~= ARGV[13] then redis.call('PUBLISH', ARGV[14] .. door, ARGV[9]) end
end
return applied
"""

PUBLISHED = """#!lua
-- KEYS: unpublished. ARGV: prefix of tasks, rank and state of what is submitted, then member and
--   round of each. What a later round left to be published is not this one's.
for at = 4, #ARGV, 2 do
  local tenant, id = string.match(ARGV[at], '^([^/]*)/(.*)$')
  local hash = ARGV[1] .. tenant .. ':task:' .. id
  local now = redis.call('HMGET', hash, 'rank', 'out_round')
  if (now[2] or '0') == ARGV[at + 1] then
    redis.call('ZREM', KEYS[1], ARGV[at])
    redis.call('HDEL', hash, 'out_attributes', 'out_body')
    if now[1] and now[1] < ARGV[2] then
      redis.call('HSET', hash, 'rank', ARGV[2], 'state', ARGV[3])
    end
  end
end
return 1
"""

ANSWER = """#!lua
-- KEYS: hash. ARGV: rank that must stand, round, then key and member of each answer.
if redis.call('HGET', KEYS[1], 'rank') ~= ARGV[1] then return false end
local answers = redis.call('HGET', KEYS[1], 'answers') or ''
for at = 3, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], 'in:' .. ARGV[2] .. ':' .. ARGV[at], 1) == 1 then
    answers = answers .. ARGV[at + 1]
  end
end
redis.call('HSET', KEYS[1], 'answers', answers)
return answers
"""

GIVE = """#!lua
-- KEYS: hash, unpublished. ARGV: rank that must stand, round, digest, member, publish again ms,
--   field, value...
local given = redis.call('HGET', KEYS[1], 'given:' .. ARGV[2])
if given == ARGV[3] then return 1 end
if given then return 2 end
if redis.call('HGET', KEYS[1], 'rank') ~= ARGV[1] then return 3 end
redis.call('HDEL', KEYS[1], 'type', 'fact_id', 'fact', 'answers')
redis.call('HSET', KEYS[1], 'given:' .. ARGV[2], ARGV[3], 'out_round', ARGV[2], unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
return 0
"""

WATCH = """#!lua
-- KEYS: hash. ARGV: replica.
local doors = redis.call('HGET', KEYS[1], 'doors') or ''
if redis.call('EXISTS', KEYS[1]) == 1 and not string.find(doors, ARGV[1] .. ',', 1, true) then
  redis.call('HSET', KEYS[1], 'doors', doors .. ARGV[1] .. ',')
end
return 1
"""

DUE = """#!lua
-- Members that are due, each put off for a while, so that one replica alone has them.
-- KEYS: index. ARGV: now ms, next time ms, limit.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
return due
"""
