--[[
  Count live orders of MySQL in a new copy, by settle's rules.

  KEYS
    1  stock        hash    the sale's stock
    2  holds        hash    orderId -> userId:quantity
    3  holders      hash    userId -> orderId
    4  orderPrefix  prefix of the keys that tell how far each order came

  ARGV
    1  epoch        of the copy that is being built
    2  decidedAtMs  MySQL's time when these orders were live
    then for each order
    +1  orderId
    +2  userId
    +3  quantity

  Returns
    adopted
    fenced   the copy was replaced by another one
    stale    what MySQL said is too old to be believed; read it again
]]

local stockKey, holdsKey, holdersKey, orderPrefix = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local VALID_MS = 60000

--- @include clock
--- @include outcome
--- @include units

if redis.call('HGET', stockKey, 'epoch') ~= ARGV[1] then
  return 'fenced'
end
if nowInMs() - tonumber(ARGV[2]) > VALID_MS then
  return 'stale'
end
for i = 3, #ARGV, 3 do
  if not hasEnded(ARGV[i]) then
    hold(ARGV[i], ARGV[i + 1], ARGV[i + 2])
    redis.call('HSET', holdersKey, ARGV[i + 1], ARGV[i])
  end
end
return 'adopted'
