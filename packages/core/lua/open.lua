--[[
  Put a copy into service once everything that is taken has been counted.

  KEYS
    1  stock  hash    the sale's stock

  ARGV
    1  epoch    of the copy that was built
    2  saleId
    3  channel  where it is told, so that every sold-out flag falls

  Returns
    opened
    fenced   the copy was replaced by another one
]]

local stockKey = KEYS[1]

--- @include units-rose

if redis.call('HGET', stockKey, 'epoch') ~= ARGV[1] then
  return 'fenced'
end
redis.call('HSET', stockKey, 'state', redis.call('HGET', stockKey, 'openAs'))
tellUnitsRose(ARGV[3], ARGV[2])
return 'opened'
