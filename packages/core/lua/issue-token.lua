--[[
  Give a user a place among those who may try to buy in a sale, unless all places are taken.

  One place per user: who has one keeps it, with a new token. A place is free again when its token has expired,
  used or not.

  KEYS
    1  places  zset  userId by the expiry of the token
    2  times   hash  userId -> issuedAtMs:notBeforeMs of the token
    3  spent   hash  userId -> issuedAtMs of the last token that took units

  ARGV
    1  userId
    2  opensAtMs   no token is good before
    3  cap         most places at one time; below 0 any number
    4  lifetimeMs  from the later of issue and opening

  Returns
    {issued, issuedAtMs, notBeforeMs, expiresAtMs}
    {exhausted, retryAfterMs}  until the next place may be free
]]

local placesKey, timesKey, spentKey = KEYS[1], KEYS[2], KEYS[3]
local userId, opensAtMs, cap, lifetimeMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- Longer than any token lives: nothing is kept of a sale that nobody tries to buy in any more.
local KEPT_MS = 3600000

--- @include clock

local now = nowInMs()
-- Some of what has expired, so that one call never takes long; the count below does not depend on it.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', placesKey, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', placesKey, gone)
  redis.call('HDEL', timesKey, gone)
end

local expiry = redis.call('ZSCORE', placesKey, userId)
local hasPlace = expiry and tonumber(expiry) > now
if cap >= 0 and not hasPlace and redis.call('ZCOUNT', placesKey, '(' .. now, '+inf') >= cap then
  local first = redis.call('ZRANGEBYSCORE', placesKey, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return { 'exhausted', tonumber(first[2] or now + lifetimeMs) - now }
end

-- Later than every token that this user had: a spent one is told from a new one by its time.
local issuedAt = now
for _, before in ipairs({ redis.call('HGET', spentKey, userId), redis.call('HGET', timesKey, userId) }) do
  local beforeMs = before and tonumber(before:match('^%d+'))
  if beforeMs and beforeMs >= issuedAt then
    issuedAt = beforeMs + 1
  end
end
local expiresAt = math.max(issuedAt, opensAtMs) + lifetimeMs
redis.call('ZADD', placesKey, expiresAt, userId)
redis.call('HSET', timesKey, userId, issuedAt .. ':' .. opensAtMs)
redis.call('PEXPIREAT', placesKey, expiresAt + KEPT_MS)
redis.call('PEXPIREAT', timesKey, expiresAt + KEPT_MS)
return { 'issued', issuedAt, opensAtMs, expiresAt }
