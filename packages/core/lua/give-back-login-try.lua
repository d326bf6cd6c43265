--[[
  Put a try back that was none: the password was right. Never more than was taken, and never the whole bucket, so that
  nobody fills it up for other accounts by logging in to their own.

  KEYS
    1  bucket  string  the time in ms when the bucket will be full

  ARGV
    1  tries     how many a full bucket holds
    2  refillMs  until an empty bucket is full

  Returns
    {'given_back'}
    {'full'}
]]

local bucketKey = KEYS[1]
local tries, refillMs = tonumber(ARGV[1]), tonumber(ARGV[2])

--- @include clock

local now = nowInMs()
local fullAt = tonumber(redis.call('GET', bucketKey))
local lessFullAt = fullAt and fullAt - math.ceil(refillMs / tries)
if not lessFullAt or lessFullAt <= now then
  redis.call('DEL', bucketKey)
  return { 'full' }
end
redis.call('SET', bucketKey, string.format('%.0f', lessFullAt), 'PX', lessFullAt - now)
return { 'given_back' }
