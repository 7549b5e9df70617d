-- Makes due at once what a dead process has leased. A delivery without a lease, or with another holder, is left alone.
--
-- ARGV[3…] groups of one webhook: webhook, count, '', then count times: delivery, number of the holder
-- Returns  { how many are due, 1 when a sleeper should wake else 0 }

local rescued = 0
local suspected = suspects_among(webhooks_of_groups(2))

local at = 3
while at <= #ARGV do
  local webhook = ARGV[at]
  local left_alone_until = suspected[webhook]
  local key = of_webhook .. webhook
  local deliveries, scores, next_at = group_at(at, 2)
  local found = redis.call('HMGET', leases, unpack(deliveries))
  local due, changed = {}, {}
  for i = 1, #deliveries do
    local expirations, holder = read_lease(found[i])
    local token = scores[i] and tonumber(scores[i]) or 0
    if token > now and holder == ARGV[at + 2 + 2 * i] then
      due[#due + 1] = now
      due[#due + 1] = deliveries[i]
      -- It stays in `leases`: the next claim must find and count it.
      changed[#changed + 1] = deliveries[i]
      changed[#changed + 1] = expirations
      -- It was a probe, whose outcome will never be settled.
      if left_alone_until == token then left_alone_until = suspect(webhook, now) end
    end
  end
  if #due > 0 then
    redis.call('ZADD', key, unpack(due))
    redis.call('HSET', leases, unpack(changed))
    repair(webhook, left_alone_until)
    rescued = rescued + #due / 2
  end
  at = next_at
end

return { rescued, rescued > 0 and 1 or 0 }
