--[[
  Take one try out of a bucket that slowly fills again, or say how long until there is one.

  The bucket is one moment: when it will be full again. The key goes by itself then, and a moment that is further away
  than an empty bucket could need is not believed, so no key can lock anybody out for longer than that.

  KEYS
    1  bucket  string  the time in ms when the bucket will be full

  ARGV
    1  tries     how many a full bucket holds
    2  refillMs  until an empty bucket is full

  Returns
    {'taken'}
    {'exhausted', waitMs}
]]

local bucketKey = KEYS[1]
local tries, refillMs = tonumber(ARGV[1]), tonumber(ARGV[2])

--- @include clock

local now = nowInMs()
local msPerTry = math.ceil(refillMs / tries)
local fullAt = tonumber(redis.call('GET', bucketKey)) or now
fullAt = math.max(now, math.min(fullAt, now + refillMs))

local waitMs = fullAt + msPerTry - (now + msPerTry * tries)
if waitMs > 0 then
  return { 'exhausted', waitMs }
end
redis.call('SET', bucketKey, string.format('%.0f', fullAt + msPerTry), 'PX', fullAt + msPerTry - now)
return { 'taken' }
