-- How far an order came, as far as Redis was told. An ended or rejected order stays so: a late "placed" must not
-- bring it back. Needs the local orderPrefix.
local function hasEnded(orderId)
  local state = redis.call('HGET', orderPrefix .. orderId, 'state')
  return state == 'ended' or state == 'rejected'
end

-- Only of an order that has not ended.
local function remember(orderId, state, ttlSeconds)
  redis.call('HSET', orderPrefix .. orderId, 'state', state)
  redis.call('EXPIRE', orderPrefix .. orderId, ttlSeconds)
end
