-- The one clock of a sale, whatever the clocks of the hosts say.
local function nowInMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
