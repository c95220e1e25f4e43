-- The leader's round: move what is due into its queue, wake who sleeps beside work, name workers whose lease has ended.
-- ARGV: leader, seconds of leadership, jobs to move at most.
-- Answer: nil if it leads no longer; else moved, workers whose lease has ended, seconds until the next job is due ('').

if call('GET', LEADER) ~= ARGV[1] then return nil end
call('PEXPIRE', LEADER, tonumber(ARGV[2]) * 1000)
local left, moved, soonest = tonumber(ARGV[3]), 0, nil
local suspended = call('EXISTS', 'rq:suspended') == 1
for _, name in ipairs(call('SMEMBERS', NAMES_OF_QUEUES)) do
  local queue = string.sub(name, #QUEUE + 1)
  local key = 'rq:scheduled:' .. queue
  if left > 0 then
    for _, id in ipairs(call('ZRANGEBYSCORE', key, '-inf', score(NOW), 'LIMIT', 0, left)) do
      call('ZREM', key, id)
      local status = call('HGET', JOB .. id, 'status')
      if status == 'scheduled' then
        if call('EXISTS', 'rq:job::' .. id .. ':dependencies') == 1 and not is_free(id) then
          call('HSET', JOB .. id, 'status', 'deferred')
          call('ZADD', 'rq:deferred:' .. queue, score(NOW), id)
        else push(queue, id) end
        moved = moved + 1
      end
      left = left - 1
    end
  end
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then soonest = math.min(soonest or tonumber(head[2]), tonumber(head[2])) end
  -- Who was woken may have died, and stock producers wake nobody.
  if not suspended and call('LLEN', name) > 0 then wake(queue, 1) end
end
return {moved, call('ZRANGEBYSCORE', LEASES, '-inf', score(NOW)), soonest and score(math.max(0, soonest - NOW)) or ''}
