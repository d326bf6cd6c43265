--[[
  Count the reservations that are on their way to MySQL in a new copy, a page at a time.

  KEYS
    1  stock      hash    the sale's stock
    2  holds      hash    orderId -> userId:quantity
    3  holders    hash    userId -> orderId
    4  unsettled  hash    orderId -> reservation on its way to MySQL

  ARGV
    1  epoch   of the copy that is being built
    2  cursor  0 at first, then what the last call answered

  Returns
    {'adopted', cursor}  cursor 0: that was the last page
    {'fenced', '0'}      the copy was replaced by another one
]]

local stockKey, holdsKey, holdersKey, unsettledKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local PAGE = 200

--- @include units

if redis.call('HGET', stockKey, 'epoch') ~= ARGV[1] then
  return { 'fenced', '0' }
end

-- Nothing is added while the copy is warming, and HSCAN misses nothing that stood from the first page to the last.
local page = redis.call('HSCAN', unsettledKey, ARGV[2], 'COUNT', PAGE)
for i = 1, #page[2], 2 do
  local orderId = page[2][i]
  local userId, quantity = page[2][i + 1]:match('^(%d+):(%d+):')
  hold(orderId, userId, quantity)
  redis.call('HSETNX', holdersKey, userId, orderId)
end
return { 'adopted', page[1] }
