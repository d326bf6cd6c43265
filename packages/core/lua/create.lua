--[[
  Begin a new copy of a sale's stock, with no units taken yet.

  Fenced by the epoch: of several warmers only the one with the highest number builds. The ledger and the orders'
  outcomes stay: they are what is adopted next.

  KEYS
    1  stock    hash    the sale's stock
    2  holds    hash    orderId -> userId:quantity
    3  holders  hash    userId -> orderId

  ARGV
    1  epoch
    2  revision
    3  quota
    4  opensAtMs
    5  closesAtMs
    6  unitsPerUser
    7  openAs  the state after the build: open, paused or closed
    8  runId   of the Redis that runs now

  Returns
    created
    fenced   a copy of this epoch or a later one stands
]]

local stockKey, holdsKey, holdersKey = KEYS[1], KEYS[2], KEYS[3]

--- @include clock

local epoch = redis.call('HGET', stockKey, 'epoch')
if epoch and tonumber(epoch) >= tonumber(ARGV[1]) then
  return 'fenced'
end

local now = nowInMs()
redis.call('UNLINK', stockKey, holdsKey, holdersKey)
redis.call(
  'HSET', stockKey,
  'unitsLeft', ARGV[3], 'quota', ARGV[3], 'epoch', ARGV[1], 'revision', ARGV[2], 'seq', 1, 'state', 'warming',
  'opensAtMs', ARGV[4], 'closesAtMs', ARGV[5], 'unitsPerUser', ARGV[6], 'openAs', ARGV[7],
  'runId', ARGV[8], 'intactSinceMs', now, 'warmingSinceMs', now
)
return 'created'
