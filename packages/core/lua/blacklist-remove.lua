--[[
  Take subjects off the blacklist.

  KEYS
    1  entries   hash    subject -> expiresAtMs:addedAtMs:cause:reason
    2  expiries  zset    subject by expiresAtMs
    3  version   string  number of the last change

  ARGV
    1  channel  where the changes are told
    then for each entry
    +1  subject

  Returns
    how many of them were on it
]]

local entriesKey, expiriesKey, versionKey = KEYS[1], KEYS[2], KEYS[3]
local channel = ARGV[1]

--- @include clock
--- @include blacklist

local removed = 0
for i = 2, #ARGV do
  redis.call('ZREM', expiriesKey, ARGV[i])
  if redis.call('HDEL', entriesKey, ARGV[i]) == 1 then
    removed = removed + 1
    tell(ARGV[i], '')
  end
end
return removed
