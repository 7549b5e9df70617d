-- Fails unless the schedule can do here all that it may ever have to: each command of the other scripts once, on keys that no other script reads.
--
-- ARGV[2]  how long the keys may be left behind, in ms
-- Returns  1, or the error that the first command met

local zset, hash, text = of_webhook .. 'probe', of_webhook .. 'probe-held', of_webhook .. 'probe-epoch'
local failure

local function need(command, ...)
  if failure then return end
  local reply = redis.pcall(command, ...)
  if type(reply) ~= 'table' or not reply.err then return end
  local message = reply.err
  if string.find(message, "can't run this command", 1, true) then
    message = "NOPERM this user has no permissions to run the '" .. string.lower(command) .. "' command"
  elseif string.find(message, 'Unknown Redis command', 1, true) then
    message = "ERR unknown command '" .. string.lower(command) .. "'"
  end
  failure = message
end

-- First what a Redis that is full refuses: after any other write a script may go beyond its memory.
need('ZADD', zset, now, 'probe')
need('PEXPIRE', zset, ARGV[2])
need('HSET', hash, 'probe', 0)
need('PEXPIRE', hash, ARGV[2])
need('ZSCORE', zset, 'probe')
need('ZMSCORE', zset, 'probe')
need('ZRANGE', zset, 0, 0)
need('ZRANGEBYSCORE', zset, '-inf', now, 'LIMIT', 0, 1)
need('ZREMRANGEBYSCORE', zset, '-inf', '-inf')
need('ZREM', zset, 'probe')
need('HMGET', hash, 'probe')
need('HDEL', hash, 'probe')
need('SET', text, '', 'PX', ARGV[2])
need('GET', text)
need('UNLINK', zset, hash, text)
-- The mark of a shard that is complete stands under a name of its own.
need('GET', KEYS[5])

if failure then return redis.error_reply(failure) end
return 1
