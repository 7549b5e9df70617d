-- Adds deliveries. One that is known keeps the earlier of both moments; one that is held is left to its holder.
--
-- ARGV[2]  now by the database's clock, in ms
-- ARGV[3…] groups of one webhook: webhook, count, then count times: due (ms by the database's clock), delivery
-- Returns  { how many are new, 1 when a sleeper should wake else 0 }

local shift = clock_shift(ARGV[2])
local wake_before = math.max(earliest(), now + 1)
local added, wake = 0, 0

local at = 3
while at <= #ARGV do
  local webhook, count = ARGV[at], tonumber(ARGV[at + 1])
  local key = of_webhook .. webhook
  local deliveries, dues = {}, {}
  for i = 1, count do
    dues[i] = ARGV[at + 2 * i] + shift
    deliveries[i] = ARGV[at + 2 * i + 1]
  end
  local holds = redis.call('HMGET', held, unpack(deliveries))
  local scored = {}
  for i = 1, count do
    local free = true
    if holds[i] then
      local score = redis.call('ZSCORE', key, deliveries[i])
      -- An expired lease stays in `held` too: the next claim must find and count it.
      free = not score or tonumber(score) > now + LONGEST_LEASE_MS
      if free then redis.call('HDEL', held, deliveries[i]) end
    end
    if free then
      scored[#scored + 1] = dues[i]
      scored[#scored + 1] = deliveries[i]
      if dues[i] < wake_before then wake = 1 end
    end
  end
  if #scored > 0 then added = added + redis.call('ZADD', key, 'LT', unpack(scored)) end
  repair(webhook)
  at = at + 2 + 2 * count
end

return { added, wake }
