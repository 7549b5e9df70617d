-- Takes due deliveries, a few of each webhook, the longest-waiting webhooks first, and holds them for one lease.
--
-- ARGV[2]  the lease, in ms
-- ARGV[3]  at most so many in all
-- ARGV[4]  at most so many of one webhook
-- ARGV[5]  the rank in `ready` to begin at: 0, or where the last call stopped
-- ARGV[6…] pairs: webhook, at most so many of it
-- Returns  { ms until more can be had (0: at once; -1: not before the shard is complete), rank to go on from, junk members removed, token,
--            1 when something due was left for want of room with its webhook,
--            then groups of one webhook: webhook, count, then count times: delivery, how often it was held in vain }

-- A call looks at so many due webhooks at most, so that thousands with no room cannot stall Redis; the next goes on behind them.
local MAX_VISITS = 1000
local PAGE = 100
local MEMBER = '^[0-7]' .. string.rep('[0-9a-hjkmnp-tv-z]', 25) .. '$'

local lease, max, per_webhook, rank = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local token = now + lease
local room = {}
for i = 6, #ARGV, 2 do
  room[ARGV[i]] = tonumber(ARGV[i + 1])
end
local reply = { 0, 0, 0, token, 0 }
local shut = shut_for()
if shut ~= 0 then return { shut, rank, 0, token, 0 } end
local taken, junk = 0, 0

-- Takes up to `limit` of one webhook; returns whether it may have more that is due.
local function take(webhook, limit)
  local key = of_webhook .. webhook
  local due = redis.pcall('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit)
  if due.err or not string.find(webhook, MEMBER) then
    redis.call('UNLINK', key)
    redis.call('ZREM', ready, webhook)
    junk = junk + 1
    return false
  end
  local deliveries = {}
  for i = 1, #due do
    if string.find(due[i], MEMBER) then
      deliveries[#deliveries + 1] = due[i]
    else
      redis.call('ZREM', key, due[i])
      junk = junk + 1
    end
  end
  if #deliveries > 0 then
    local holds = redis.call('HMGET', held, unpack(deliveries))
    local scored, holding = {}, {}
    reply[#reply + 1] = webhook
    reply[#reply + 1] = #deliveries
    for i = 1, #deliveries do
      local expirations = holds[i] and (tonumber(holds[i]) or 0) + 1 or 0
      scored[#scored + 1] = token
      scored[#scored + 1] = deliveries[i]
      holding[#holding + 1] = deliveries[i]
      holding[#holding + 1] = expirations
      reply[#reply + 1] = deliveries[i]
      reply[#reply + 1] = expirations
    end
    redis.call('ZADD', key, unpack(scored))
    redis.call('HSET', held, unpack(holding))
    taken = taken + #deliveries
  end
  repair(webhook)
  return #due == limit
end

local seen, visits = {}, 0
local more, ended = false, false
while not ended do
  local page = redis.call('ZRANGE', ready, rank, rank + PAGE - 1, 'WITHSCORES')
  if #page == 0 then break end
  for i = 1, #page, 2 do
    local webhook = page[i]
    if tonumber(page[i + 1]) > now then
      ended = true
      break
    end
    local limit = seen[webhook] and 0 or math.min(room[webhook] or per_webhook, per_webhook)
    if limit > 0 and taken >= max then
      more, ended = true, true
      break
    end
    if limit <= 0 then
      -- It keeps its rank; those that are taken from move behind.
      rank = rank + 1
      reply[5] = 1
    else
      local asked = math.min(limit, max - taken)
      -- What a tighter limit leaves behind is for the caller to come back for, once it has room again.
      if take(webhook, asked) then
        if asked == per_webhook or asked < limit then more = true else reply[5] = 1 end
      end
      seen[webhook] = true
    end
    visits = visits + 1
    if visits == MAX_VISITS then
      more, ended = true, true
      reply[2] = rank
      break
    end
  end
end

reply[3] = junk
if not more then
  local next = redis.call('ZRANGEBYSCORE', ready, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  -- Never longer than a lease: one given after this look ends no earlier than that.
  reply[1] = math.min(next[2] and math.ceil(tonumber(next[2]) - now) or lease, lease)
end
return reply
