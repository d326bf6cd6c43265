--[[
  Give back the units of orders that ended unpaid.

  Each hold is freed once, however often this is said. A return needs no date: an order that has ended never
  becomes live again.

  KEYS
    1  stock         hash    the sale's stock
    2  holds         hash    orderId -> userId:quantity
    3  holders       hash    userId -> orderId
    4  unsettled     hash    orderId -> reservation on its way to MySQL
    5  unsettledDue  zset    orderId by the time of its next relay
    6  orderPrefix   prefix of the keys that tell how far each order came
    7  cooldownPrefix  prefix of the keys of users who may not buy again yet

  ARGV
    1  saleId
    2  outcomeTtlSeconds  how long Redis remembers the outcome
    3  channel            where a rise of the units left is told
    then for each order
    +1  orderId
    +2  coolingUserId  who may not buy again yet, or 0
    +3  coolsUntilMs   until then

  Returns
    returned
]]

local stockKey, holdsKey, holdersKey, unsettledKey, unsettledDueKey, orderPrefix, cooldownPrefix =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local saleId, outcomeTtlSeconds, channel = ARGV[1], ARGV[2], ARGV[3]

--- @include clock
--- @include outcome
--- @include units
--- @include units-rose

local isWarmed = redis.call('EXISTS', stockKey) == 1

local now = nowInMs()
for i = 4, #ARGV, 3 do
  local orderId = ARGV[i]
  redis.call('HDEL', unsettledKey, orderId)
  redis.call('ZREM', unsettledDueKey, orderId)
  if isWarmed then
    free(orderId)
  end
  if not hasEnded(orderId) then
    remember(orderId, 'ended', outcomeTtlSeconds)
  end
  -- A moment, not a span: said again by the sweep, it keeps nobody waiting for longer.
  if tonumber(ARGV[i + 2]) > now then
    redis.call('SET', cooldownPrefix .. ARGV[i + 1], orderId)
    redis.call('PEXPIREAT', cooldownPrefix .. ARGV[i + 1], ARGV[i + 2])
  end
end

if unitsRose then
  tellUnitsRose(channel, saleId)
end
return 'returned'
