--[[
  Count one breach of a rule, and put the subject on the blacklist when the measure is full.

  One step, so that two instances that count at the same time cannot both stop one short. An entry that lasts
  longer already, an operator's above all, is left as it is.

  KEYS
    1  strikes   string  breaches within the window, counted from the first
    2  entries   hash    subject -> expiresAtMs:addedAtMs:cause:reason; expiresAtMs 0 = until removed
    3  expiries  zset    subject by expiresAtMs
    4  version   string  number of the last change

  ARGV
    1  channel     where the change is told
    2  entriesMax  how many entries there may be
    3  threshold   strikes that fill the measure
    4  windowMs    how long a strike counts
    5  lastsMs     how long the entry lasts
    6  subject
    7  cause       the name of the rule
    8  reason

  Returns
    {'counted', strikes}
    {'blacklisted', strikes}
    {'full', strikes}         the blacklist has no room
]]

local strikesKey, entriesKey, expiriesKey, versionKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local channel, entriesMax, threshold, windowMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lastsMs, subject, cause, reason = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]

--- @include clock
--- @include blacklist

local strikes = redis.call('INCR', strikesKey)
if redis.call('PTTL', strikesKey) < 0 then
  redis.call('PEXPIRE', strikesKey, windowMs)
end
if strikes < threshold then
  return { 'counted', strikes }
end

local nowMs = nowInMs()
forgetExpired(nowMs)
local standing = redis.call('HGET', entriesKey, subject)
if not standing and redis.call('HLEN', entriesKey) >= entriesMax then
  return { 'full', strikes }
end
-- The next entry takes a full measure again.
redis.call('DEL', strikesKey)
local standsUntilMs = standing and tonumber(string.match(standing, '^%d+'))
if standsUntilMs and (standsUntilMs == 0 or standsUntilMs >= nowMs + lastsMs) then
  return { 'counted', strikes }
end
put(nowMs, subject, lastsMs, cause, reason)
return { 'blacklisted', strikes }
