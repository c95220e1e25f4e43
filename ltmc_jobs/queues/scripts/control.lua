-- Pause, resume and limit. ARGV: field of CONTROL, value ('' removes it), queue to wake ('' none), function whose parked
-- jobs go back ('' none). Answer: how many parked jobs went back.

if ARGV[2] == '' then call('HDEL', CONTROL, ARGV[1]) else call('HSET', CONTROL, ARGV[1], ARGV[2]) end
if ARGV[3] ~= '' then wake(ARGV[3], math.max(1, call('LLEN', QUEUE .. ARGV[3]))) end
local back = 0
if ARGV[4] ~= '' then
  local parked, running = PARKED .. ARGV[4], RUNNING .. ARGV[4]
  for _, id in ipairs(call('ZREVRANGE', parked, 0, -1)) do
    local queue = call('HGET', JOB .. id, 'origin')
    if queue and call('ZREM', 'rq:deferred:' .. queue, id) == 1 then
      push(queue, id, true)
      back = back + 1
    end
  end
  call('DEL', parked)
  call('DEL', running)
  if ARGV[2] ~= '' then  -- what runs already counts
    for _, name in ipairs(call('SMEMBERS', NAMES_OF_QUEUES)) do
      for _, member in ipairs(call('ZRANGE', WIP .. string.sub(name, #QUEUE + 1), 0, -1)) do
        local id = string.match(member, '^(.-):')
        if function_of(call('HGET', JOB .. id, 'meta')) == ARGV[4] then call('SADD', running, member) end
      end
    end
  end
end
return back
