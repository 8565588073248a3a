"""What must happen at once in Redis, as Lua.

Each begins with `#!lua`: then Redis refuses it, and with it the whole MULTI, when memory is full,
rather than failing it half-way after an XACK. What makes room, or takes none, may run even then
(`allow-oom`): else full memory would stay full.

Keys are named in KEYS except liveness keys of other consumers (one node holds the bus; a cluster
would need hash tags, and a stream cannot be split anyway).
"""

DELAY = """#!lua
-- KEYS: delayed set. ARGV: milliseconds, message.
local t = redis.call('TIME')
local due = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
return redis.call('ZADD', KEYS[1], due, ARGV[2])
"""

PARK = """#!lua
-- KEYS: dead stream, letters. ARGV: letter's id, fields...
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
return redis.call('HSET', KEYS[2], ARGV[1], entry)
"""

REDRIVE = """#!lua
-- KEYS: dead stream, letters, retry stream. ARGV: letter's id.
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if not entry then return 0 end
local fields = {}
for _, found in ipairs(redis.call('XRANGE', KEYS[1], entry, entry)) do
  for at = 1, #found[2], 2 do
    if string.sub(found[2][at], 1, 2) ~= 'x_' then
      table.insert(fields, found[2][at])
      table.insert(fields, found[2][at + 1])
    end
  end
end
if #fields > 0 then redis.call('XADD', KEYS[3], '*', unpack(fields)) end
redis.call('XDEL', KEYS[1], entry)
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""

DROP = """#!lua flags=allow-oom
-- KEYS: dead stream, letters. ARGV: letter's id.
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if not entry then return 0 end
redis.call('XDEL', KEYS[1], entry)
return redis.call('HDEL', KEYS[2], ARGV[1])
"""

BEAT = """#!lua flags=allow-oom
-- A consumer's second: it lives, due retries move, the dead are named.
-- KEYS: own liveness key, then all streams, then (delayed set, retry stream)...
-- ARGV: group, own name, prefix of liveness keys, milliseconds to live, number of streams.
redis.call('SET', KEYS[1], 1, 'PX', ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local first = 2 + tonumber(ARGV[5])
local wait = -1
for at = first, #KEYS, 2 do
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', now, 'LIMIT', 0, 500)) do
    local fields, from = {}, 1
    while from <= #member do
      local length = struct.unpack('>I4', string.sub(member, from, from + 3))
      table.insert(fields, string.sub(member, from + 4, from + 3 + length))
      from = from + 4 + length
    end
    redis.call('XADD', KEYS[at + 1], '*', unpack(fields))
    redis.call('ZREM', KEYS[at], member)
  end
  local next = redis.call('ZRANGE', KEYS[at], 0, 0, 'WITHSCORES')
  if next[2] then
    local left = math.max(0, next[2] - now)
    if wait < 0 or left < wait then wait = left end
  end
end
local dead, seen = {}, {}
for at = 2, first - 1 do
  for _, consumer in ipairs(redis.pcall('XINFO', 'CONSUMERS', KEYS[at], ARGV[1])) do
    local name = consumer[2]
    if name ~= ARGV[2] and not seen[name] then
      seen[name] = true
      if redis.call('EXISTS', ARGV[3] .. name) == 0 then table.insert(dead, name) end
    end
  end
end
return {wait, dead}
"""

TAKE = """#!lua flags=allow-oom
-- What `from` left pending becomes ours, its delivery count unchanged.
-- KEYS: liveness key of `from`, then all streams. ARGV: group, own name, from, limit.
local taken = {}
if ARGV[2] ~= ARGV[3] and redis.call('EXISTS', KEYS[1]) == 1 then return taken end
for at = 2, #KEYS do
  local pending = redis.call('XPENDING', KEYS[at], ARGV[1], '-', '+', ARGV[4], ARGV[3])
  for _, one in ipairs(pending) do
    local entry = redis.call(
      'XCLAIM', KEYS[at], ARGV[1], ARGV[2], 0, one[1], 'RETRYCOUNT', one[4])[1]
    if entry then
      table.insert(taken, {at - 2, entry[1], entry[2], one[4]})
    else
      redis.call('XACK', KEYS[at], ARGV[1], one[1])
    end
  end
  if #pending == 0 and ARGV[2] ~= ARGV[3] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[at], ARGV[1], ARGV[3])
  end
end
return taken
"""

LEAVE = """#!lua flags=allow-oom
-- A consumer ends in order: what it still holds did not fail, so its delivery is not counted.
-- KEYS: own liveness key, all streams. ARGV: group, own name.
redis.call('DEL', KEYS[1])
for at = 2, #KEYS do
  local pending = redis.call('XPENDING', KEYS[at], ARGV[1], '-', '+', 10000, ARGV[2])
  for _, one in ipairs(pending) do
    redis.call('XCLAIM', KEYS[at], ARGV[1], ARGV[2], 0, one[1],
      'RETRYCOUNT', math.max(0, one[4] - 1), 'JUSTID')
  end
  if #pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[at], ARGV[1], ARGV[2]) end
end
return 1
"""

TRIM = """#!lua flags=allow-oom
-- Drop what every group has acknowledged. A stream whose groups are not all there keeps all.
-- KEYS: lock, then streams. ARGV: milliseconds that the lock holds, then each stream's groups,
-- separated by commas.
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) then return -1 end
local function parts(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local am, as = parts(a)
  local bm, bs = parts(b)
  return am < bm or (am == bm and as < bs)
end
local trimmed = 0
for at = 2, #KEYS do
  local missing, oldest = {}, nil
  for group in string.gmatch(ARGV[at], '[^,]+') do missing[group] = true end
  local groups = redis.call('EXISTS', KEYS[at]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[at])
    or {}
  for _, info in ipairs(groups) do
    local known = {}
    for i = 1, #info, 2 do known[info[i]] = info[i + 1] end
    missing[known['name']] = nil
    local bound = known['last-delivered-id']
    if known['pending'] > 0 then bound = redis.call('XPENDING', KEYS[at], known['name'])[2] end
    if not oldest or before(bound, oldest) then oldest = bound end
  end
  if oldest and next(missing) == nil then
    trimmed = trimmed + redis.call('XTRIM', KEYS[at], 'MINID', oldest)
  end
end
return trimmed
"""
