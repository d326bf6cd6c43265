--[[
  Note that Redis was started anew since this copy was built or last looked at: it may have lost its last second.

  KEYS
    1  stock  hash    the sale's stock

  ARGV
    1  runId    of the Redis that runs now
    2  saleId
    3  channel  where it is told, so that every sold-out flag falls

  Returns
    noted
    known       it was noted before
    not_warmed  there is no copy
]]

local stockKey = KEYS[1]

--- @include clock
--- @include units-rose

local fields = redis.call('HMGET', stockKey, 'epoch', 'runId')
if not fields[1] then
  return 'not_warmed'
end
if fields[2] == ARGV[1] then
  return 'known'
end
redis.call('HSET', stockKey, 'runId', ARGV[1], 'intactSinceMs', nowInMs())
-- Whoever compares next need not wait for its minute, also when this warmer dies here.
redis.call('HDEL', stockKey, 'reconciledAtMs')
tellUnitsRose(ARGV[3], ARGV[2])
return 'noted'
