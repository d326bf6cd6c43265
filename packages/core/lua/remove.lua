--[[
  Remove the keys of a sale that is over. UNLINK only takes the names away; the memory is freed beside the commands.

  KEYS
    1  stock         hash    the sale's stock
    2  holds         hash    orderId -> userId:quantity
    3  holders       hash    userId -> orderId
    4  unsettled     hash    orderId -> reservation on its way to MySQL
    5  unsettledDue  zset    orderId by the time of its next relay
    6  places        zset    userId by the expiry of the token
    7  times         hash    userId -> issuedAtMs:notBeforeMs of the token
    8  spent         hash    userId -> issuedAtMs of the last token that took units

  ARGV
    1  epoch  MySQL's, when it said that the sale is over

  Returns
    removed
    unsettled  something is on its way to MySQL; nothing was removed
    fenced     a later copy stands; nothing was removed
]]

if redis.call('HLEN', KEYS[4]) > 0 then
  return 'unsettled'
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then
  return 'fenced'
end
for _, key in ipairs(KEYS) do
  redis.call('UNLINK', key)
end
return 'removed'
