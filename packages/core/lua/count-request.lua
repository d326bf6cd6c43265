--[[
  Count a request in the running window of its bucket.

  KEYS
    1  bucket  string  requests in this window

  ARGV
    1  windowMs

  Returns
    {requests, msUntilTheWindowEnds}
]]

local requests = redis.call('INCR', KEYS[1])
local leftMs = redis.call('PTTL', KEYS[1])
-- Also for a key that has lost its time: it would refuse for ever.
if leftMs < 0 then
  leftMs = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], leftMs)
end
return { requests, leftMs }
