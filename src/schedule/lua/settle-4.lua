-- Ends or reschedules leased deliveries. One whose score is not the given token has another lease or none, and is left alone.
--
-- ARGV[2]  now by the database's clock, in ms
-- ARGV[3…] groups of one webhook: webhook, count, until when it is left alone (ms by the database's clock; 0: its receiver responds;
--          '': nothing new), then count times: delivery, token, due (ms by the database's clock; '' ends it)
-- Returns  { how many were settled, 1 when a sleeper should wake else 0 }

-- A probe that ended without an attempt is followed by another after so long.
local PROBE_AGAIN_MS = 1000

local shift = clock_shift(ARGV[2])
local wake_before = math.max(earliest_in(ready), now + 1)
local settled, wake = 0, 0
local suspected = suspects_among(webhooks_of_groups(3))

local at = 3
while at <= #ARGV do
  local webhook = ARGV[at]
  local given, left_alone_until = ARGV[at + 2], suspected[webhook]
  local is_back = given == '0' and left_alone_until
  if is_back then
    left_alone_until = suspect(webhook, 0)
  elseif given ~= '' and given ~= '0' then
    left_alone_until = suspect(webhook, given + shift)
  end
  local key = of_webhook .. webhook
  local deliveries, scores, next_at = group_at(at, 3)
  local over, again, freed = {}, {}, {}
  for i = 1, #deliveries do
    local token, due = ARGV[at + 3 * i + 1], ARGV[at + 3 * i + 2]
    if scores[i] and tonumber(scores[i]) == tonumber(token) then
      freed[#freed + 1] = deliveries[i]
      if left_alone_until == tonumber(token) then left_alone_until = suspect(webhook, now + PROBE_AGAIN_MS) end
      if due == '' then
        over[#over + 1] = deliveries[i]
      else
        again[#again + 1] = due + shift
        again[#again + 1] = deliveries[i]
        if not left_alone_until and due + shift < wake_before then wake = 1 end
      end
    end
  end
  if #freed > 0 then redis.call('HDEL', leases, unpack(freed)) end
  if #over > 0 then redis.call('ZREM', key, unpack(over)) end
  if #again > 0 then redis.call('ZADD', key, unpack(again)) end
  if #freed > 0 or given ~= '' then
    local first = repair(webhook, left_alone_until)
    if is_back and first < wake_before then wake = 1 end
  end
  settled = settled + #freed
  at = next_at
end

return { settled, wake }
