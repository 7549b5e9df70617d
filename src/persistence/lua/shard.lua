-- What every script of the schedule begins with: the keys of one shard, its clock, and the one rule that ties its two levels.
--
-- KEYS[1]  ready: zset, webhook -> score of its earliest delivery
-- KEYS[2]  held: hash, delivery -> how often it was held in vain; only deliveries that are held now
-- KEYS[3]  epoch: string, `complete:...` once the shard was filled and until it is emptied; only for scripts that give deliveries out
-- KEYS[4]  shut: zset, process that takes from PostgreSQL -> until when it shuts the shard for all; likewise
-- ARGV[1]  what the keys of the webhooks' own zsets begin with; they share the hash tag of the two above
--
-- Scores are milliseconds since 1970 by this server's clock. Webhooks and deliveries are named by the 26 characters of their ids.

local ready, held, of_webhook = KEYS[1], KEYS[2], ARGV[1]

-- Clocks closer than this are taken as equal: a network delay must not look like a difference.
local CLOCK_TOLERANCE_MS = 50
-- A lease that ends later than this from now was not given by a live process, but put there by hand.
local LONGEST_LEASE_MS = 3600000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- How far this clock is ahead of the database's, whose time the due moments are given in.
local function clock_shift(database_now)
  local ahead = now - tonumber(database_now)
  if math.abs(ahead) <= CLOCK_TOLERANCE_MS then return 0 end
  return ahead
end

-- Whether a delivery that `held` names is under a live lease: its score is in the future, and near.
local function is_live(score)
  local ends = score and tonumber(score)
  return ends and ends > now and ends <= now + LONGEST_LEASE_MS
end

-- Brings `ready` in line with the earliest delivery of a webhook, whatever was there before.
local function repair(webhook)
  local first = redis.call('ZRANGE', of_webhook .. webhook, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', ready, first[2], webhook)
  else
    redis.call('ZREM', ready, webhook)
  end
end

-- For how many ms nothing may be given out: 0 when it may, -1 when that is not for time to tell. A shard that was emptied does not
-- know who holds what; and what a process takes from PostgreSQL, Redis does not see.
local function shut_for()
  local epoch = redis.call('GET', KEYS[3])
  if not epoch or string.sub(epoch, 1, 9) ~= 'complete:' then return -1 end
  local last = redis.pcall('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
  if last.err then
    redis.call('UNLINK', KEYS[4])
    return 0
  end
  return last[2] and math.max(math.ceil(tonumber(last[2]) - now), 0) or 0
end

-- When the shard's earliest delivery may be taken.
local function earliest()
  local first = redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or math.huge
end
