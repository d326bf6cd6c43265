--[[
  Hold units of one sale for each buyer of a list, or say why not.

  The only place where a buyer takes stock. One atomic step: no two buyers get the same unit, no buyer holds two
  orders. It may run twice with the same order ids and then answers the same.

  KEYS
    1  stock         hash    unitsLeft, quota, epoch, revision, seq, state, window, unitsPerUser
    2  holds         hash    orderId -> userId:quantity, every unit taken
    3  holders       hash    userId -> orderId
    4  unsettled     hash    orderId -> reservation on its way to MySQL
    5  unsettledDue  zset    orderId by the time of its next relay
    6  orderPrefix   prefix of the keys that tell how far each order came
    7  spent         hash    userId -> issuedAtMs of the last purchase token that took units
    8  cooldownPrefix  prefix of the keys of users who may not buy again yet

  ARGV
    1  notAfterMs    the caller has given up by then and told its buyers so
    2  ledgerCap     most unsettled reservations that a sale may have
    3  relayAfterMs  how long a reservation may be unsettled before it is published again
    then for each buyer
    +1  orderId
    +2  userId
    +3  quantity
    +4  requestId
    +5  tokenIssuedAtMs  of the buyer's purchase token

  Returns
    {nowMs, epoch, seq, opensAtMs, {kind, value}, ...}  one pair per buyer, in their order; kind is
      reserved          reservedAtMs
      already_reserved  the orderId this user holds
      sold_out          units left
      too_few_left      units left
      cooling_down      ms until this user, who has cancelled, may buy again
      token_spent       issuedAtMs of the token that this user has spent
      not_open, closed, paused, not_warmed, over_limit, overloaded, too_late
]]

local stockKey, holdsKey, holdersKey, unsettledKey, unsettledDueKey, orderPrefix, spentKey, cooldownPrefix =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local notAfterMs, ledgerCap, relayAfterMs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- Longer than any purchase token lives.
local SPENT_KEPT_MS = 3600000

--- @include clock
--- @include outcome
--- @include units

local now = nowInMs()
local fields =
  redis.call('HMGET', stockKey, 'state', 'unitsLeft', 'epoch', 'seq', 'opensAtMs', 'closesAtMs', 'unitsPerUser')
local state, unitsLeft, unitsPerUser = fields[1], tonumber(fields[2]), tonumber(fields[7])
local opensAtMs, closesAtMs = tonumber(fields[5]), tonumber(fields[6])
local ledgerSize = redis.call('HLEN', unsettledKey)

-- The same answer for everybody, whoever asks.
local forAll
if now > notAfterMs then
  -- After a stopped Redis goes on, thousands of abandoned calls must not take the stock.
  forAll = 'too_late'
elseif not state or state == 'warming' then
  forAll = 'not_warmed'
end

-- Why a buyer who holds nothing yet may not take units now.
local shut
if state == 'closed' then
  shut = 'closed'
elseif forAll == nil and now < opensAtMs then
  shut = 'not_open'
elseif forAll == nil and now >= closesAtMs then
  shut = 'closed'
elseif state == 'paused' then
  shut = 'paused'
end

local hasSpent = false

local function reserve(orderId, userId, quantity, requestId, tokenIssuedAtMs)
  if hasEnded(orderId) then
    return { 'already_reserved', orderId }
  end
  local entry = redis.call('HGET', unsettledKey, orderId)
  if entry then
    local heldQuantity, reservedAtMs = entry:match('^%d+:(%d+):(%d+):')
    -- Another request of this buyer in the same millisecond: its quantity is not what is held.
    if tonumber(heldQuantity) ~= quantity then
      return { 'already_reserved', orderId }
    end
    return { 'reserved', tonumber(reservedAtMs) }
  end
  -- Holder before everything else: whose answer was lost may hold the last unit of a sale that has closed since.
  local held = redis.call('HGET', holdersKey, userId)
  if held == orderId and redis.call('HGET', holdsKey, orderId) == userId .. ':' .. quantity then
    return { 'reserved', now }
  end
  if held then
    return { 'already_reserved', held }
  end
  if shut then
    return { shut, 0 }
  end
  -- Without it, buying and cancelling in a loop would keep units from everybody.
  local coolingMs = redis.call('PTTL', cooldownPrefix .. userId)
  if coolingMs > 0 then
    return { 'cooling_down', coolingMs }
  end
  -- One token, one order: whoever buys again after an order has ended shows again to be a person.
  local spent = tonumber(redis.call('HGET', spentKey, userId) or 0)
  if tokenIssuedAtMs <= spent then
    return { 'token_spent', spent }
  end
  if quantity > unitsPerUser then
    return { 'over_limit', unitsPerUser }
  end
  if unitsLeft <= 0 then
    return { 'sold_out', unitsLeft }
  end
  if unitsLeft < quantity then
    return { 'too_few_left', unitsLeft }
  end
  if ledgerSize >= ledgerCap then
    return { 'overloaded', ledgerSize }
  end

  hold(orderId, userId, quantity)
  redis.call('HSET', holdersKey, userId, orderId)
  redis.call('HSET', spentKey, userId, tokenIssuedAtMs)
  hasSpent = true
  -- Without these two lines a crash between reserving and publishing would lose the order for good.
  redis.call(
    'HSET',
    unsettledKey,
    orderId,
    userId .. ':' .. quantity .. ':' .. now .. ':' .. fields[3] .. ':0:' .. requestId
  )
  redis.call('ZADD', unsettledDueKey, now + relayAfterMs, orderId)
  unitsLeft = unitsLeft - quantity
  ledgerSize = ledgerSize + 1
  return { 'reserved', now }
end

local answer = { now, tonumber(fields[3]) or 0, tonumber(fields[4]) or 0, opensAtMs or 0 }
for i = 4, #ARGV, 5 do
  if forAll then
    answer[#answer + 1] = { forAll, 0 }
  else
    answer[#answer + 1] = reserve(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4]))
  end
end
if hasSpent then
  redis.call('PEXPIRE', spentKey, SPENT_KEPT_MS)
end
return answer
