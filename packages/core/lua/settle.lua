--[[
  Tell Redis what MySQL has decided about a list of orders.

  The worker's word. It may come twice, late or out of order: MySQL's state is sent, never a difference.

  A list of orders that are all placed, and that Redis holds as `reserve` has left them, is the usual one: it is read
  first, and then costs two commands for each order instead of eight.

  KEYS
    1  stock         hash    the sale's stock
    2  holds         hash    orderId -> userId:quantity
    3  holders       hash    userId -> orderId
    4  unsettled     hash    orderId -> reservation on its way to MySQL
    5  unsettledDue  zset    orderId by the time of its next relay
    6  orderPrefix   prefix of the keys that tell how far each order came

  ARGV
    1  saleId
    2  decidedAtMs        MySQL's time when it said so
    3  outcomeTtlSeconds  how long Redis remembers the outcome
    4  channel            where a rise of the units left is told
    5  decidedChannel     where the orders themselves are told
    then for each order
    +1  orderId
    +2  userId
    +3  quantity
    +4  state  placed, ended or rejected

  Returns
    settled  all of them
    stale    none: what MySQL said is too old to be believed; read it again
]]

local stockKey, holdsKey, holdersKey, unsettledKey, unsettledDueKey, orderPrefix =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local saleId, decidedAtMs, outcomeTtlSeconds, channel, decidedChannel =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local VALID_MS = 60000

--- @include clock
--- @include outcome
--- @include units
--- @include units-rose

-- A worker that was stopped for minutes may hold a "placed" of an order that has expired since.
if nowInMs() - decidedAtMs > VALID_MS then
  return 'stale'
end
for i = 6, #ARGV, 4 do
  local state = ARGV[i + 3]
  if state ~= 'placed' and state ~= 'ended' and state ~= 'rejected' then
    return redis.error_reply('settle: unknown state ' .. tostring(state))
  end
end

-- Without a copy of the stock there is nothing to count: it is built from MySQL, where these orders stand.
local isWarmed = redis.call('EXISTS', stockKey) == 1

local orderIds, userIds, outcomeKeys, areAllPlaced = {}, {}, {}, true
for i = 6, #ARGV, 4 do
  orderIds[#orderIds + 1] = ARGV[i]
  userIds[#userIds + 1] = ARGV[i + 1]
  outcomeKeys[#outcomeKeys + 1] = orderPrefix .. ARGV[i]
  areAllPlaced = areAllPlaced and ARGV[i + 3] == 'placed'
end
redis.call('HDEL', unsettledKey, unpack(orderIds))
redis.call('ZREM', unsettledDueKey, unpack(orderIds))

-- With an end in the list, what is read here may be wrong a moment later: then each order asks for itself.
local mayAnyHaveEnded = not areAllPlaced or redis.call('EXISTS', unpack(outcomeKeys)) > 0
local isHeld, holderOf = {}, {}
if areAllPlaced then
  isHeld = redis.call('HMGET', holdsKey, unpack(orderIds))
  local holders = redis.call('HMGET', holdersKey, unpack(userIds))
  for at, userId in ipairs(userIds) do
    holderOf[userId] = holders[at]
  end
end

for at, orderId in ipairs(orderIds) do
  local userId, quantity, state = userIds[at], ARGV[4 * at + 4], ARGV[4 * at + 5]
  local hasItEnded = mayAnyHaveEnded and hasEnded(orderId)
  if state == 'placed' then
    if isWarmed and not hasItEnded then
      if not isHeld[at] then
        hold(orderId, userId, quantity)
      end
      if holderOf[userId] ~= orderId then
        redis.call('HSET', holdersKey, userId, orderId)
        holderOf[userId] = areAllPlaced and orderId
      end
    end
  elseif isWarmed then
    free(orderId)
  end
  if not hasItEnded then
    remember(orderId, state, outcomeTtlSeconds)
  end
end

if unitsRose then
  tellUnitsRose(channel, saleId)
end
-- One message for all of them: each instance picks out those whose buyers are waiting there.
redis.call('PUBLISH', decidedChannel, table.concat(orderIds, ','))
return 'settled'
