--[[
  Put subjects on the blacklist, each for its time; who is on it already gets the new time and reason.

  KEYS
    1  entries   hash    subject -> expiresAtMs:addedAtMs:cause:reason; expiresAtMs 0 = until removed
    2  expiries  zset    subject by expiresAtMs
    3  version   string  number of the last change

  ARGV
    1  channel     where the changes are told
    2  entriesMax  how many there may be: every instance keeps a copy of all
    then for each entry
    +1  subject
    +2  lastsMs  0 = until removed
    +3  cause    operator, or the name of a rule
    +4  reason

  Returns
    put
    full   nothing was written
]]

local entriesKey, expiriesKey, versionKey = KEYS[1], KEYS[2], KEYS[3]
local channel, entriesMax = ARGV[1], tonumber(ARGV[2])

--- @include clock
--- @include blacklist

local nowMs = nowInMs()
forgetExpired(nowMs)

local added = 0
for i = 3, #ARGV, 4 do
  if redis.call('HEXISTS', entriesKey, ARGV[i]) == 0 then
    added = added + 1
  end
end
if added > 0 and redis.call('HLEN', entriesKey) + added > entriesMax then
  return 'full'
end

for i = 3, #ARGV, 4 do
  put(nowMs, ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3])
end
return 'put'
