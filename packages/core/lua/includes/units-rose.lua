-- Lowers the sold-out flag of every instance. The new seq lets them tell this from an older "sold out".
-- Needs the local stockKey.
local function tellUnitsRose(channel, saleId)
  local seq = redis.call('HINCRBY', stockKey, 'seq', 1)
  local epoch = redis.call('HGET', stockKey, 'epoch')
  redis.call('PUBLISH', channel, saleId .. ':' .. epoch .. ':' .. seq)
end
