-- Limits of queues and functions, checked while jobs are claimed. CONTROL holds `pause:<queue>` → JSON and
-- `limit:queue:<name>` or `limit:func:<name>` → "<at once>,<jobs>,<seconds>", 0 for no such limit.

local RUNNING, PARKED, RATE = OURS .. 'running:', OURS .. 'parked:', OURS .. 'rate:'

-- Pauses and limits by field; nil when there are none, which costs one look.
local function controls()
  local flat = call('HGETALL', CONTROL)
  if #flat == 0 then return nil end
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function limit_of(control, what)
  local text = control and control['limit:' .. what]
  if not text then return nil end
  local at_once, jobs, seconds = string.match(text, '^([^,]+),([^,]+),([^,]+)$')
  return {at_once = tonumber(at_once) or 0, jobs = tonumber(jobs) or 0, seconds = tonumber(seconds) or 0}
end

-- How many jobs may start now under a rate, at most `wanted` (they count as started), and when the next one may.
-- The key holds when the next job would start if all came evenly; a whole period's jobs may come at once.
local function take_rate(what, limit, wanted)
  if limit.jobs == 0 then return wanted, nil end
  local step = limit.seconds / limit.jobs
  local due = math.max(tonumber(call('GET', RATE .. what) or '0'), NOW)
  local room = math.floor((NOW + limit.seconds - due) / step + 1e-6)
  local taken = math.min(wanted, math.max(0, room))
  if taken > 0 then
    due = due + taken * step
    call('SET', RATE .. what, score(due), 'PX', math.ceil((due - NOW + limit.seconds) * 1000))
  end
  return taken, NOW + math.max(0, due - NOW - limit.seconds + step)
end

local function untake_rate(what, limit, count)
  if limit.jobs > 0 and count > 0 then
    local due = tonumber(call('GET', RATE .. what) or '0') - count * limit.seconds / limit.jobs
    if due > NOW then call('SET', RATE .. what, score(due), 'PX', math.ceil((due - NOW + limit.seconds) * 1000))
    else call('DEL', RATE .. what) end
  end
end

-- May a function's job start? If not, it is set aside: at its limit it waits for one of its own to end (RQ shows it as
-- deferred), over its rate until its time (RQ shows it as scheduled).
local function admit(id, queue, func, limit, member)
  if limit.at_once > 0 and call('SCARD', RUNNING .. func) >= limit.at_once then
    call('HSET', JOB .. id, 'status', 'deferred')
    call('ZADD', PARKED .. func, score(NOW), id)
    call('ZADD', 'rq:deferred:' .. queue, score(NOW), id)
    return false
  end
  local taken, later = take_rate('func:' .. func, limit, 1)
  if taken == 0 then
    -- Each has a turn of its own, so that they do not all come back at once to be sent away again.
    local turn = RATE .. 'turn:func:' .. func
    later = math.max(later, tonumber(call('GET', turn) or '0') + limit.seconds / limit.jobs)
    call('SET', turn, score(later), 'PX', math.ceil((later - NOW) * 1000) + 1)
    postpone(queue, id, later)
    return false
  end
  call('SADD', RUNNING .. func, member)
  return true
end

-- There is room for one more of a function's jobs: the first that waits for that goes to the front of its queue.
local function unpark(func)
  while true do
    local popped = call('ZPOPMIN', PARKED .. func)
    if not popped[1] then return end
    local queue = call('HGET', JOB .. popped[1], 'origin')
    -- What was cancelled or deleted meanwhile takes nobody's turn.
    if queue and call('ZREM', 'rq:deferred:' .. queue, popped[1]) == 1 then return push(queue, popped[1], true) end
  end
end

-- One of a function's jobs has ended, or was given back.
local function leave_function(func, member)
  if call('SREM', RUNNING .. func, member) == 1 then unpark(func) end
end

local function function_of(meta)
  local read, told = pcall(cjson.decode, meta or '')
  return read and type(told) == 'table' and type(told.name) == 'string' and told.name or nil
end

-- The same, unless another of that function is already about to be claimed.
local function unpark_if_due(func)
  local first = call('ZRANGE', PARKED .. func, 0, 0)[1]
  local queue = first and call('HGET', JOB .. first, 'origin')
  local head = queue and call('LINDEX', QUEUE .. queue, 0)
  if first and not (head and function_of(call('HGET', JOB .. head, 'meta')) == func) then unpark(func) end
end
