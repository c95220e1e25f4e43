-- The leader's round: move what is due into its queue, name workers whose lease has ended; in a whole round also look at
-- every queue, for stock producers tell nobody of what they schedule, and wake nobody.
-- ARGV: leader, jobs to move at most, '1' for a whole round.
-- Answer: nil if it leads no longer; else moved, workers whose lease has ended, server time.

if call('GET', LEADER) ~= ARGV[1] then return nil end
local left, moved = tonumber(ARGV[2]), 0

local function move(queue)
  local key = 'rq:scheduled:' .. queue
  for _, id in ipairs(call('ZRANGEBYSCORE', key, '-inf', score(NOW), 'LIMIT', 0, left)) do
    call('ZREM', key, id)
    local f = call('HMGET', JOB .. id, 'status', 'enqueue_at_front')
    if f[1] == 'scheduled' then
      if call('EXISTS', 'rq:job::' .. id .. ':dependencies') == 1 and not is_free(id) then
        call('HSET', JOB .. id, 'status', 'deferred')
        call('ZADD', 'rq:deferred:' .. queue, score(NOW), id)
      else push(queue, id, f[2] == '1') end
      moved = moved + 1
    end
    left = left - 1
  end
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then call('ZADD', DUE, head[2], queue) else call('ZREM', DUE, queue) end
end

if ARGV[3] == '1' then
  local suspended = call('EXISTS', 'rq:suspended') == 1
  for _, name in ipairs(call('SMEMBERS', NAMES_OF_QUEUES)) do
    local queue = string.sub(name, #QUEUE + 1)
    move(queue)
    -- Who was woken may have died.
    if not suspended and call('LLEN', name) > 0 then wake(queue, 1) end
  end
  -- Where a turn at a function's limit was lost, with a job that was deleted, the next one has it.
  local control = controls()
  for field in pairs(control or {}) do
    local func = string.match(field, '^limit:func:(.*)')
    if func and call('SCARD', RUNNING .. func) < limit_of(control, 'func:' .. func).at_once then unpark_if_due(func) end
  end
else
  for _, queue in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', score(NOW))) do move(queue) end
end
return {moved, call('ZRANGEBYSCORE', LEASES, '-inf', score(NOW)), score(NOW)}
