-- Adds deliveries that the caller is trying already: held for one lease from now. One that somebody else holds is left alone.
--
-- ARGV[2]  the lease, in ms
-- ARGV[3…] groups of one webhook: webhook, count, then count deliveries
-- Returns  { token, then for each delivery in order: how often it was held in vain, or -1 when it could not be had }

local token = now + tonumber(ARGV[2])
local reply = { token }

local at = 3
while at <= #ARGV do
  local webhook, count = ARGV[at], tonumber(ARGV[at + 1])
  local key = of_webhook .. webhook
  local deliveries = { unpack(ARGV, at + 2, at + 1 + count) }
  local holds = redis.call('HMGET', held, unpack(deliveries))
  local scored, holding = {}, {}
  for i = 1, count do
    local delivery = deliveries[i]
    local expirations = 0
    if holds[i] then
      local score = redis.call('ZSCORE', key, delivery)
      if is_live(score) then
        expirations = -1
      elseif score then
        expirations = (tonumber(holds[i]) or 0) + 1
      end
    end
    reply[#reply + 1] = expirations
    if expirations >= 0 then
      scored[#scored + 1] = token
      scored[#scored + 1] = delivery
      holding[#holding + 1] = delivery
      holding[#holding + 1] = expirations
    end
  end
  if #scored > 0 then
    redis.call('ZADD', key, unpack(scored))
    redis.call('HSET', held, unpack(holding))
  end
  repair(webhook)
  at = at + 2 + count
end

return reply
