-- Adds deliveries that the caller is about to try: held for one lease from now. One that somebody else holds is left alone.
--
-- ARGV[2]  the lease, in ms
-- ARGV[3…] groups of one webhook: webhook, count, then count deliveries
-- Returns  { token, then for each delivery in order: how often it was held in vain, or -1 when it could not be had }, or
--          {} while nothing may be given out

if shut_for() ~= 0 then return {} end
local token = now + tonumber(ARGV[2])
local reply = { token }

local deliveries = {}
local at = 3
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  for i = 1, count do
    deliveries[#deliveries + 1] = ARGV[at + 1 + i]
  end
  at = at + 2 + count
end
local holds = redis.call('HMGET', held, unpack(deliveries))

local holding, firsts = {}, {}
local index = 0
at = 3
while at <= #ARGV do
  local webhook, count = ARGV[at], tonumber(ARGV[at + 1])
  local key = of_webhook .. webhook
  local scored = {}
  for _ = 1, count do
    index = index + 1
    local delivery = deliveries[index]
    local expirations = 0
    if holds[index] then
      local score = redis.call('ZSCORE', key, delivery)
      if is_live(score) then
        expirations = -1
      elseif score then
        expirations = (tonumber(holds[index]) or 0) + 1
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
    firsts[#firsts + 1] = token
    firsts[#firsts + 1] = webhook
  end
  at = at + 2 + count
end
if #holding > 0 then
  redis.call('HSET', held, unpack(holding))
  -- A webhook whose earliest delivery was among these stays listed too early: the next claim looks at it, and puts that right.
  redis.call('ZADD', ready, 'LT', unpack(firsts))
end

return reply
