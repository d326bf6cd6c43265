--[[
  Note that the broker has these relays on disk: only then can one be taken from the queue, and count.

  KEYS
    1  unsettled  hash    orderId -> userId:quantity:reservedAtMs:epoch:relays:requestId

  ARGV
    for each relay
    +1  orderId

  Returns
    how many were still on the ledger
]]

local confirmed = 0
for _, orderId in ipairs(ARGV) do
  local entry = redis.call('HGET', KEYS[1], orderId)
  if entry then
    local published = entry:gsub('^(%d+:%d+:%d+:%d+:%d+)u:', '%1:')
    redis.call('HSET', KEYS[1], orderId, published)
    confirmed = confirmed + 1
  end
end
return confirmed
