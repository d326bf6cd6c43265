--[[
  Put holds that MySQL knows nothing of back on the ledger, so that the relay publishes them.

  KEYS
    1  stock         hash    the sale's stock
    2  holds         hash    orderId -> userId:quantity
    3  unsettled     hash    orderId -> userId:quantity:reservedAtMs:epoch:relays:requestId
    4  unsettledDue  zset    orderId by the time of its next relay

  ARGV
    1  requestId  that the entries are traced by
    then for each hold
    +1  orderId
    +2  userId
    +3  quantity

  Returns
    how many were put on the ledger
]]

local stockKey, holdsKey, unsettledKey, unsettledDueKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

--- @include clock

local epoch = redis.call('HGET', stockKey, 'epoch')
if not epoch then
  return 0
end
local now = nowInMs()
local relisted = 0
for i = 2, #ARGV, 3 do
  local orderId, held = ARGV[i], ARGV[i + 1] .. ':' .. ARGV[i + 2]
  -- Only while it stands: a return that came meanwhile has decided it.
  if redis.call('HGET', holdsKey, orderId) == held and redis.call('HEXISTS', unsettledKey, orderId) == 0 then
    redis.call('HSET', unsettledKey, orderId, held .. ':' .. now .. ':' .. epoch .. ':0:' .. ARGV[1])
    redis.call('ZADD', unsettledDueKey, now, orderId)
    relisted = relisted + 1
  end
end
return relisted
