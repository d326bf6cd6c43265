--[[
  Take the reservations that have been unsettled for too long, to publish them again.

  Each one's next turn is set before it is handed out, so several relays do not publish the same one, and one that
  dies with its page only delays it.

  KEYS
    1  unsettled     hash    orderId -> userId:quantity:reservedAtMs:epoch:relays:requestId; relays ends in u until
                             the broker has confirmed the last one
    2  unsettledDue  zset    orderId by the time of its next relay

  ARGV
    1  relayAfterMs  until the next turn
    2  limit         most entries to hand out
    3  isTaken       1 when the queue was seen empty, and read from, just now: what went there before was taken

  Returns
    {orderId, entry, ...}  the entries as they stand now, this relay counted if its predecessor was taken
]]

local unsettledKey, unsettledDueKey = KEYS[1], KEYS[2]
local relayAfterMs, limit, isTaken = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'

--- @include clock

local now = nowInMs()
local claimed = {}
for _, orderId in ipairs(redis.call('ZRANGEBYSCORE', unsettledDueKey, '-inf', now, 'LIMIT', 0, limit)) do
  local entry = redis.call('HGET', unsettledKey, orderId)
  if entry then
    local head, relays, unconfirmed, requestId = entry:match('^(%d+:%d+:%d+:%d+):(%d+)(u?):(.*)$')
    -- A worker or a broker that is away decides nothing: whoever waits for them must not be given up for it.
    if isTaken and unconfirmed == '' then
      relays = tonumber(relays) + 1
    end
    entry = head .. ':' .. relays .. 'u:' .. requestId
    redis.call('HSET', unsettledKey, orderId, entry)
    redis.call('ZADD', unsettledDueKey, now + relayAfterMs, orderId)
    claimed[#claimed + 1] = orderId
    claimed[#claimed + 1] = entry
  else
    redis.call('ZREM', unsettledDueKey, orderId)
  end
end
return claimed
