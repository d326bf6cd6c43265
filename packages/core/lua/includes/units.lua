-- The rule of units: unitsLeft + the sum of all holds = quota, always. unitsLeft moves only when an entry of
-- `holds` really appears or goes, so whatever is said twice, late or in another order changes nothing.
-- Needs the locals stockKey, holdsKey, holdersKey.
local unitsRose = false

local function hold(orderId, userId, quantity)
  if redis.call('HSETNX', holdsKey, orderId, userId .. ':' .. quantity) == 1 then
    redis.call('HINCRBY', stockKey, 'unitsLeft', -quantity)
  end
end

local function free(orderId)
  local held = redis.call('HGET', holdsKey, orderId)
  if not held then
    return
  end
  local userId, quantity = held:match('^(%d+):(%d+)$')
  redis.call('HDEL', holdsKey, orderId)
  redis.call('HINCRBY', stockKey, 'unitsLeft', quantity)
  if redis.call('HGET', holdersKey, userId) == orderId then
    redis.call('HDEL', holdersKey, userId)
  end
  unitsRose = true
end
