--[[
  Note when this copy was last compared with MySQL.

  KEYS
    1  stock  hash    the sale's stock

  ARGV
    1  epoch  of the copy that was compared

  Returns
    noted
    fenced  the copy was replaced by another one, or is gone
]]

local stockKey = KEYS[1]

--- @include clock

if redis.call('HGET', stockKey, 'epoch') ~= ARGV[1] then
  return 'fenced'
end
redis.call('HSET', stockKey, 'reconciledAtMs', nowInMs())
return 'noted'
