-- Put a job that waits in no list back to the front of its queue.
-- KEYS: its hash, its queue, its queue's intermediate list, its queue's started registry. ARGV: its id.
-- Returns 1 if it was put back.
if redis.call('HGET', KEYS[1], 'status') ~= 'queued' or redis.call('LPOS', KEYS[2], ARGV[1]) then
  return 0
end
local own = ARGV[1] .. ':'
for _, member in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  if string.sub(member, 1, #own) == own then
    redis.call('ZREM', KEYS[4], member) -- leased to the dead worker; RQ would run it once more for that
  end
end
redis.call('LREM', KEYS[3], 0, ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
