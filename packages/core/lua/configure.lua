--[[
  Bring an operator's change of quota, window or state into force.

  Settings are absolute and numbered by their revision; an older one that arrives late changes nothing.

  KEYS
    1  stock  hash    the sale's stock

  ARGV
    1  saleId
    2  revision
    3  quota
    4  opensAtMs
    5  closesAtMs
    6  openAs   open, paused or closed
    7  channel  where a rise of the units left is told

  Returns
    configured
    unchanged   this revision or a later one is in force
    not_warmed  there is no copy
]]

local stockKey = KEYS[1]

--- @include units-rose

local fields = redis.call('HMGET', stockKey, 'revision', 'quota', 'state')
if not fields[1] then
  return 'not_warmed'
end
if tonumber(ARGV[2]) <= tonumber(fields[1]) then
  return 'unchanged'
end

redis.call(
  'HSET', stockKey, 'revision', ARGV[2], 'quota', ARGV[3], 'opensAtMs', ARGV[4], 'closesAtMs', ARGV[5], 'openAs', ARGV[6]
)
-- A copy that is still being built opens as what was said last.
if fields[3] ~= 'warming' then
  redis.call('HSET', stockKey, 'state', ARGV[6])
end
local shift = tonumber(ARGV[3]) - tonumber(fields[2])
redis.call('HINCRBY', stockKey, 'unitsLeft', shift)
if shift > 0 then
  tellUnitsRose(ARGV[7], ARGV[1])
end
return 'configured'
