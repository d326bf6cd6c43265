-- Entries of the blacklist. A file that includes this one has: entriesKey, expiriesKey, versionKey, channel, and
-- nowInMs() of includes/clock.
local EXPIRED_MAX = 256

-- Every instance keeps a copy: a change tells it the number of the change, so that it sees when it missed one.
local function tell(subject, value)
  local version = redis.call('INCR', versionKey)
  redis.call('PUBLISH', channel, version .. '\n' .. subject .. '\n' .. value)
end

-- What has expired is in force nowhere any more; it only takes room.
local function forgetExpired(nowMs)
  local expired = redis.call('ZRANGEBYSCORE', expiriesKey, '-inf', nowMs, 'LIMIT', 0, EXPIRED_MAX)
  for _, subject in ipairs(expired) do
    redis.call('HDEL', entriesKey, subject)
    redis.call('ZREM', expiriesKey, subject)
  end
end

-- lastsMs 0: until it is removed.
local function put(nowMs, subject, lastsMs, cause, reason)
  local expiresAtMs = 0
  if lastsMs > 0 then
    expiresAtMs = nowMs + lastsMs
    redis.call('ZADD', expiriesKey, string.format('%.0f', expiresAtMs), subject)
  else
    redis.call('ZREM', expiriesKey, subject)
  end
  local value = string.format('%.0f:%.0f:%s:%s', expiresAtMs, nowMs, cause, reason)
  redis.call('HSET', entriesKey, subject, value)
  tell(subject, value)
end
