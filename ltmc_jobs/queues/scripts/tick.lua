-- A worker's tick: end what it has done, then claim what it has room for, over any number of queues, in one step.
-- ARGV: worker, its tag (in the ids of its executions), sequence number, seconds of lease, crash limit, free slots,
-- prefetch, starved seconds (0: do not look), most jobs that run in a process of their own, number of queues, queues, then
-- per run: job, execution, outcome, payload, error, delay, started, ended (seconds, then as text).
-- Answer: server time, when to come again for a rate ('' if not), refused runs, then per claimed job: id, execution,
-- queue, data, timeout, attempts, whether it is to run in a process of its own, whether it carries what is not signed,
-- since when it was in its queue (RQ's text), how many retries it has left, how often its own process died.
-- Sent twice under one number, it ends nothing twice and answers with the same jobs.

local worker, number, lease, crash_limit = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local free, prefetch, starved = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local alone_left = tonumber(ARGV[9])
local queues = {}
for i = 1, tonumber(ARGV[10]) do queues[i] = ARGV[10 + i] end
local runs_at = 11 + #queues
local key, held = WORKER .. worker, HELD .. worker
local prefix = ARGV[2] .. '-' .. number .. '-'  -- of the executions of this tick

local kept = call('HMGET', key, 'ltmc_number', 'ltmc_refused', 'ltmc_idle')
local again = kept[1] == number
local control = controls()
call('ZADD', LEASES, score(NOW + lease), worker)

local refused, done, failed, worked = {}, 0, 0, 0
if again then
  if kept[2] and kept[2] ~= '' then refused = cjson.decode(kept[2]) end
else
  local runs = {}
  for i = runs_at, #ARGV, 10 do
    runs[#runs + 1] = {
      id = ARGV[i], execution = ARGV[i + 1], outcome = ARGV[i + 2], payload = ARGV[i + 3], error = ARGV[i + 4],
      delay = tonumber(ARGV[i + 5]), started = ARGV[i + 6], ended = ARGV[i + 7],
      started_text = ARGV[i + 8], ended_text = ARGV[i + 9],
    }
  end
  complete(worker, runs, control, crash_limit)
  for _, run in ipairs(runs) do
    if run.lost then refused[#refused + 1] = run.member
    else
      if run.outcome == 'done' then done = done + 1
      elseif run.outcome ~= 'back' and run.outcome ~= 'again' and run.outcome ~= 'asks' then failed = failed + 1 end
      worked = worked + tonumber(run.ended) - tonumber(run.started)
    end
  end
end

local claimed, members, soonest = {}, {}, nil

-- Whether it is to run in a process of its own: it may have killed the one that it was in, or did.
local function runs_alone(crashes, suspect) return crashes and crashes ~= '0' or suspect end
local function is_alone(f) return runs_alone(f[4], f[11]) end

local function answer(id, execution, queue, f)
  local unsigned = f[5] and f[5] ~= '' or f[6] and f[6] ~= '' or f[7] and f[7] ~= '' or f[8] and f[8] ~= ''
  local n = #claimed
  claimed[n + 1], claimed[n + 2], claimed[n + 3], claimed[n + 4] = id, execution, queue, f[1]
  claimed[n + 5], claimed[n + 6], claimed[n + 7] = whole(f[2], 300), whole(f[3], 1), is_alone(f) and '1' or ''
  claimed[n + 8] = unsigned and '1' or ''
  claimed[n + 9], claimed[n + 10], claimed[n + 11] = f[12] or '', whole(f[13], 0), whole(f[4], 0)
end

local FIELDS = {'data', 'timeout', 'ltmc_attempts', 'ltmc_crashes', 'success_callback_name', 'failure_callback_name',
  'stopped_callback_name', 'webhooks', 'status', 'meta', 'ltmc_suspect', 'enqueued_at', 'retries_left'}

local MOST_SET_ASIDE = 500  -- jobs at their function's limit in one tick: Redis serves nobody else meanwhile
local has_functions, set_aside = false, 0
local MOST_PASSED_OVER = 500  -- the same for jobs that this worker has no process for
local PASSED_AT_ONCE = 50
local passed_over = 0

local function start(queue, id, f)
  local execution = prefix .. #members
  local member = id .. ':' .. execution
  if has_functions then
    local func = function_of(f[10])
    local limit = func and limit_of(control, 'func:' .. func)
    if limit and not admit(id, queue, func, limit, member) then
      set_aside = set_aside + 1
      return false
    end
  end
  -- Further out than any reader's wrong clock: RQ's own cleaners must not see it end before our lease does.
  local life = math.max(whole(f[2], 300), 0) + 86400
  local attempts = whole(f[3], 0) + 1
  f[3] = tostring(attempts)
  call('HSET', JOB .. id, 'status', 'started', 'started_at', NOW_TEXT, 'last_heartbeat', NOW_TEXT,
    'worker_name', worker, 'ltmc_attempts', attempts, 'origin', queue)  -- it may have been moved by hand
  call('PERSIST', JOB .. id)
  local ends = score(NOW + life)
  add_later(WIP .. queue, ends, member)
  -- Both go with the hold on the job, so that they need no life of their own.
  call('HSET', 'rq:execution:' .. member, 'id', execution, 'created_at', NOW_SCORE, 'last_heartbeat', NOW_SCORE,
    'worker_name', worker)
  call('ZADD', 'rq:executions:' .. id, ends, execution)
  members[#members + 1] = member
  if is_alone(f) then alone_left = alone_left - 1 end
  answer(id, execution, queue, f)
  return true
end

-- Whether RQ takes this for an id; what is none could not be told from an id and an execution, and is not run.
local function is_id(id)
  if string.match(id, '^[%w_-]+$') then return true end
  local shown = string.sub(string.gsub(id, '[^%w_.:-]', '?'), 1, 80)
  call('LPUSH', OURS .. 'refused', NOW_TEXT .. ' ' .. shown .. ' is no id of a job: letters, digits, - and _')
  call('LTRIM', OURS .. 'refused', 0, 99)
  call('EXPIRE', OURS .. 'refused', 604800)
  return false
end

local function put_back(queue, ids)
  for last = #ids, 1, -PASSED_AT_ONCE do
    local reversed = {}
    for i = last, math.max(1, last - PASSED_AT_ONCE + 1), -1 do reversed[#reversed + 1] = ids[i] end
    call('LPUSH', QUEUE .. queue, unpack(reversed))
  end
end

-- Take those from the head of a queue that are to run alone, when there is no place for them; they are put back.
local function pass_over(queue)
  local passed = {}
  while #passed < MOST_PASSED_OVER do
    local ids = call('LPOP', QUEUE .. queue, PASSED_AT_ONCE)
    if not ids then return passed end
    for i, id in ipairs(ids) do
      local f = call('HMGET', JOB .. id, 'ltmc_crashes', 'ltmc_suspect')
      if not runs_alone(f[1], f[2]) then
        local others = {}
        for j = i, #ids do others[#others + 1] = ids[j] end
        put_back(queue, others)
        return passed
      end
      passed[#passed + 1] = id
    end
  end
  return passed
end

-- Claim up to so many jobs of a queue; how many. Those that are to run alone, and have no place here, stay at its head.
local function claim(queue, wanted)
  if wanted <= 0 or control and control['pause:' .. queue] then return 0 end
  local limit = limit_of(control, 'queue:' .. queue)
  if limit then
    if limit.at_once > 0 then wanted = math.min(wanted, limit.at_once - call('ZCARD', WIP .. queue)) end
    if wanted > 0 then wanted = math.min(wanted, call('LLEN', QUEUE .. queue)) end
    if wanted <= 0 then return 0 end
    local taken, later = take_rate('queue:' .. queue, limit, wanted)
    if taken < wanted then soonest = math.min(soonest or later, later) end
    wanted = taken
  end
  local got, passed = 0, alone_left <= 0 and pass_over(queue) or {}
  while got < wanted and set_aside < MOST_SET_ASIDE and #passed < MOST_PASSED_OVER do
    local ids = call('LPOP', QUEUE .. queue, wanted - got)
    if not ids then break end
    for _, id in ipairs(ids) do
      local f = is_id(id) and call('HMGET', JOB .. id, unpack(FIELDS)) or {}
      -- What has expired, was cancelled, or runs already is not run: its id was left behind.
      if f[1] and (f[9] == 'queued' or not f[9]) then
        if alone_left <= 0 and is_alone(f) then passed[#passed + 1] = id
        elseif start(queue, id, f) then got = got + 1 end
      end
    end
  end
  put_back(queue, passed)
  passed_over = passed_over + #passed
  add_now()
  if set_aside >= MOST_SET_ASIDE then soonest = NOW end  -- there may be more behind them
  if limit and got < wanted then untake_rate('queue:' .. queue, limit, wanted - got) end
  return got
end

-- The job that has waited longest at the head of a lower queue, if it has waited too long, goes before all others.
local function rescue_starved()
  local longest, starving = iso(math.floor(NOW - starved), 0), nil
  for i = 2, #queues do
    local head = not (control and control['pause:' .. queues[i]]) and call('LINDEX', QUEUE .. queues[i], 0)
    local since = head and call('HGET', JOB .. head, 'enqueued_at')
    if since and since < longest then longest, starving = since, queues[i] end
  end
  if not starving then return end
  if free > 0 then free = free - claim(starving, 1) else prefetch = prefetch - claim(starving, 1) end
end

if again then
  -- The answer was lost: the jobs of this number are still held.
  for _, member in ipairs(call('SMEMBERS', held)) do
    local id, execution = string.match(member, '^(.-):(.*)$')
    if string.sub(execution, 1, #prefix) == prefix then
      local queue = call('HGET', JOB .. id, 'origin')
      local f = call('HMGET', JOB .. id, unpack(FIELDS))
      if queue and f[1] then
        answer(id, execution, queue, f)
      end
    end
  end
elseif (free > 0 or prefetch > 0) and call('EXISTS', 'rq:suspended') == 0 then
  for field in pairs(control or {}) do
    if string.sub(field, 1, 11) == 'limit:func:' then has_functions = true end
  end
  if starved > 0 then rescue_starved() end
  for _, queue in ipairs(queues) do
    free = free - claim(queue, free)
  end
  for _, queue in ipairs(queues) do
    -- More than it can start now only where nobody else waits for work.
    if free == 0 and prefetch > 0 and call('SCARD', IDLE .. queue) == 0 then
      prefetch = prefetch - claim(queue, prefetch)
    end
  end
  if #members > 0 then call('SADD', held, unpack(members)) end
end

-- Sent again, it waits if it waited; who was woken meanwhile is woken once more, which costs nothing.
local idle
if again then idle = kept[3] == '1' else idle = free > 0 end
if idle then
  for _, queue in ipairs(queues) do
    -- Others may have a place for what was passed over. Who got nothing wakes nobody: two without a place would wake each
    -- other for ever.
    if passed_over > 0 and #members > 0 then
      call('SREM', IDLE .. queue, worker)
      wake(queue, 1)
    end
    call('SADD', IDLE .. queue, worker)
  end
elseif kept[3] == '1' then
  for _, queue in ipairs(queues) do call('SREM', IDLE .. queue, worker) end
end
for _, queue in ipairs(queues) do
  if (again or not idle) and call('LLEN', QUEUE .. queue) > 0 then wake(queue, 1) end
end

local state = (#members > 0 or not idle) and 'busy' or 'idle'
call('HSET', key, 'ltmc_number', number, 'ltmc_refused', #refused > 0 and cjson.encode(refused) or '',
  'ltmc_idle', idle and '1' or '', 'state', state, 'last_heartbeat', NOW_TEXT)
if #members > 0 then call('HSET', key, 'current_job', string.match(members[1], '^[^:]*'))
elseif idle then call('HDEL', key, 'current_job') end
if done > 0 then call('HINCRBY', key, 'successful_job_count', done) end
if failed > 0 then call('HINCRBY', key, 'failed_job_count', failed) end
if worked > 0 then call('HINCRBYFLOAT', key, 'total_working_time', score(worked)) end

return {score(NOW), soonest and score(soonest) or '', refused, claimed}
