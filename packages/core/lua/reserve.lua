--[[
  Hold units of one sale for each buyer of a list, or say why not.

  The only place where a buyer takes stock. One atomic step: no two buyers get the same unit, no buyer holds two
  orders. It may run twice with the same order ids and then answers the same.

  All buyers are read first, then each is judged in turn, then all is written: ten commands for a whole list instead of
  eleven for each buyer of it, which were two thirds of what this script took. What one buyer of the list takes, the
  next one finds taken.

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
    {nowMs, epoch, seq, opensAtMs, kind, value, ...}  a kind and a value per buyer, in their order; kind is
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

local now = nowInMs()
local fields =
  redis.call('HMGET', stockKey, 'state', 'unitsLeft', 'epoch', 'seq', 'opensAtMs', 'closesAtMs', 'unitsPerUser')
local state, unitsLeft, unitsPerUser = fields[1], tonumber(fields[2]), tonumber(fields[7])
local opensAtMs, closesAtMs = tonumber(fields[5]), tonumber(fields[6])
local answer = { now, tonumber(fields[3]) or 0, tonumber(fields[4]) or 0, opensAtMs or 0 }

local function tell(kind, value)
  answer[#answer + 1] = kind
  answer[#answer + 1] = value
end

-- The same answer for everybody, whoever asks.
local forAll
if now > notAfterMs then
  -- After a stopped Redis goes on, thousands of abandoned calls must not take the stock.
  forAll = 'too_late'
elseif not state or state == 'warming' then
  forAll = 'not_warmed'
end
if forAll then
  for _ = 4, #ARGV, 5 do
    tell(forAll, 0)
  end
  return answer
end

-- Why a buyer who holds nothing yet may not take units now.
local shut
if state == 'closed' then
  shut = 'closed'
elseif now < opensAtMs then
  shut = 'not_open'
elseif now >= closesAtMs then
  shut = 'closed'
elseif state == 'paused' then
  shut = 'paused'
end

local orderIds, userIds, ownKeys = {}, {}, {}
for i = 4, #ARGV, 5 do
  orderIds[#orderIds + 1] = ARGV[i]
  userIds[#userIds + 1] = ARGV[i + 1]
  ownKeys[#ownKeys + 1] = orderPrefix .. ARGV[i]
  ownKeys[#ownKeys + 1] = cooldownPrefix .. ARGV[i + 1]
end

-- What a hash says of each of these names.
local function read(key, names)
  local values, byName = redis.call('HMGET', key, unpack(names)), {}
  for i = 1, #names do
    byName[names[i]] = values[i]
  end
  return byName
end

local entries, holds = read(unsettledKey, orderIds), read(holdsKey, orderIds)
local holders, spent = read(holdersKey, userIds), read(spentKey, userIds)
local ledgerSize = redis.call('HLEN', unsettledKey)
-- An order with an outcome or a user who cools down is rare: each is looked for only if there is one in the list.
local isAnyKept = redis.call('EXISTS', unpack(ownKeys)) > 0

-- What this call takes, as it is written at the end.
local newHolds, newHolders, newSpent, newEntries, newDue, unitsTaken = {}, {}, {}, {}, {}, 0

local function put(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

local function take(orderId, userId, quantity, requestId, tokenIssuedAtMs)
  -- unitsLeft moves only when an entry of `holds` really appears, as everywhere.
  if not holds[orderId] then
    holds[orderId] = userId .. ':' .. quantity
    put(newHolds, orderId, holds[orderId])
    unitsTaken = unitsTaken + quantity
  end
  unitsLeft = unitsLeft - quantity
  holders[userId] = orderId
  put(newHolders, userId, orderId)
  spent[userId] = tokenIssuedAtMs
  put(newSpent, userId, tokenIssuedAtMs)
  -- Without the ledger a crash between reserving and publishing would lose the order for good.
  entries[orderId] = userId .. ':' .. quantity .. ':' .. now .. ':' .. fields[3] .. ':0:' .. requestId
  put(newEntries, orderId, entries[orderId])
  put(newDue, now + relayAfterMs, orderId)
  ledgerSize = ledgerSize + 1
end

local function reserve(orderId, userId, quantity, requestId, tokenIssuedAtMs)
  if isAnyKept and hasEnded(orderId) then
    return 'already_reserved', orderId
  end
  local entry = entries[orderId]
  if entry then
    local heldQuantity, reservedAtMs = entry:match('^%d+:(%d+):(%d+):')
    -- Another request of this buyer in the same millisecond: its quantity is not what is held.
    if tonumber(heldQuantity) ~= quantity then
      return 'already_reserved', orderId
    end
    return 'reserved', tonumber(reservedAtMs)
  end
  -- Holder before everything else: whose answer was lost may hold the last unit of a sale that has closed since.
  local held = holders[userId]
  if held == orderId and holds[orderId] == userId .. ':' .. quantity then
    return 'reserved', now
  end
  if held then
    return 'already_reserved', held
  end
  if shut then
    return shut, 0
  end
  -- Without it, buying and cancelling in a loop would keep units from everybody.
  local coolingMs = isAnyKept and redis.call('PTTL', cooldownPrefix .. userId) or 0
  if coolingMs > 0 then
    return 'cooling_down', coolingMs
  end
  -- One token, one order: whoever buys again after an order has ended shows again to be a person.
  local spentMs = tonumber(spent[userId] or 0)
  if tokenIssuedAtMs <= spentMs then
    return 'token_spent', spentMs
  end
  if quantity > unitsPerUser then
    return 'over_limit', unitsPerUser
  end
  if unitsLeft <= 0 then
    return 'sold_out', unitsLeft
  end
  if unitsLeft < quantity then
    return 'too_few_left', unitsLeft
  end
  if ledgerSize >= ledgerCap then
    return 'overloaded', ledgerSize
  end
  take(orderId, userId, quantity, requestId, tokenIssuedAtMs)
  return 'reserved', now
end

for i = 4, #ARGV, 5 do
  tell(reserve(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4])))
end

if #newEntries > 0 then
  if unitsTaken > 0 then
    redis.call('HSET', holdsKey, unpack(newHolds))
    redis.call('HINCRBY', stockKey, 'unitsLeft', -unitsTaken)
  end
  redis.call('HSET', holdersKey, unpack(newHolders))
  redis.call('HSET', spentKey, unpack(newSpent))
  redis.call('PEXPIRE', spentKey, SPENT_KEPT_MS)
  redis.call('HSET', unsettledKey, unpack(newEntries))
  redis.call('ZADD', unsettledDueKey, unpack(newDue))
end
return answer
