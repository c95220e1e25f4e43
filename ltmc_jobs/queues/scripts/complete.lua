-- How a job's run ends; all in one step, fenced: whoever no longer holds the job changes nothing.

local CANCELLED = '{"code": "job_cancelled", "message": "The job was cancelled.", "retry": false}'
local ASKS_SECONDS = 604800  -- how long a job waits for its answers
local MOST_INTERRUPTED = 3  -- attempts that ended with their worker unheard of: then it runs where it can silence none
local TYPE = {done = '1', failed = '2', stopped = '3', retried = '4', exhausted = '5'}  -- RQ's result types

local function free_dependents(id)
  local key = JOB .. id .. ':dependents'
  local children = call('SMEMBERS', key)
  for _, child in ipairs(children) do
    local f = call('HMGET', JOB .. child, 'origin', 'enqueue_at_front', 'ltmc_questions')
    local queue = not f[3] and f[1]  -- one that asks has run before, and waits for its answers
    if queue and call('ZSCORE', 'rq:deferred:' .. queue, child) and is_free(child) then
      call('ZREM', 'rq:deferred:' .. queue, child)
      push(queue, child, f[2] == '1')
    end
  end
  return #children
end

local function keep_result(id, kind, worker, run, payload, ttl)
  local name = kind == 'done' and 'return_value' or 'exc_string'
  local key, entry = RESULTS .. id, {'type', TYPE[kind], 'worker_name', worker, 'execution_id', run.execution,
    'execution_started_at', run.started, 'execution_ended_at', run.ended}
  if payload ~= '' then entry[11], entry[12] = name, payload end
  if run.attempts > 1 then call('XADD', key, 'MAXLEN', 10, '*', unpack(entry)) else call('XADD', key, '*', unpack(entry)) end
  if ttl > 0 then call('EXPIRE', key, ttl) else call('PERSIST', key) end
end

-- A batch writes each registry once.
local additions = {}

local function add_later(key, at, id)
  local entries = additions[key] or {}
  additions[key] = entries
  local n = #entries
  entries[n + 1], entries[n + 2] = at, id
end

local function add_now()
  for key, entries in pairs(additions) do call('ZADD', key, unpack(entries)) end
  additions = {}
end

-- Into a registry of what has ended, for as long as it is kept; RQ's -1 means for ever.
local function file_away(id, job, registry, ttl)
  if ttl > 0 then
    call('EXPIRE', JOB .. id, ttl)
    if job.parents then call('EXPIRE', 'rq:job::' .. id .. ':dependencies', ttl) end
  end
  if free_dependents(id) > 0 and ttl > 0 then call('EXPIRE', JOB .. id .. ':dependents', ttl) end
  local for_ever = registry == 'rq:finished:' and '+inf' or '-1'  -- RQ has both
  add_later(registry .. job.origin, ttl > 0 and score(NOW + ttl) or for_ever, id)
end

local function fail(id, job, worker, run, kind)
  local status = kind == 'stopped' and 'stopped' or 'failed'
  call('HSET', JOB .. id, 'status', status, 'ended_at', run.ended_text, 'started_at', run.started_text,
    'ltmc_error', run.error)
  call('HDEL', JOB .. id, 'ltmc_waiters', 'ltmc_cancel')
  keep_result(id, kind, worker, run, run.payload, job.failure_ttl)
  file_away(id, job, 'rq:failed:', job.failure_ttl)
  tell(job.waiters, id, status)
end

local function finish(id, job, worker, run)
  if job.result_ttl == 0 then
    call('HSET', JOB .. id, 'status', 'finished')
    free_dependents(id)
    tell(job.waiters, id, 'finished', run.payload)
    return delete_job(id)
  end
  call('HSET', JOB .. id, 'status', 'finished', 'ended_at', run.ended_text, 'started_at', run.started_text)
  if job.waiters then call('HDEL', JOB .. id, 'ltmc_waiters') end
  keep_result(id, 'done', worker, run, run.payload, job.result_ttl)
  file_away(id, job, 'rq:finished:', job.result_ttl)
  tell(job.waiters, id, 'finished', run.payload)
end

-- Again after `delay` seconds, if the job has retries left; else it has failed. Intervals of its own (RQ's Retry) count
-- instead of the delay.
local function retry(id, job, worker, run)
  local left = whole(job.retries_left, 0)
  if left <= 0 then return fail(id, job, worker, run, 'failed') end
  local at_front = false
  if job.intervals then
    run.delay = tonumber(job.intervals[math.max(#job.intervals - left, 0) + 1]) or 0
    at_front = call('HGET', JOB .. id, 'enqueue_at_front_on_retry') == '1'
  end
  call('HSET', JOB .. id, 'retries_left', left - 1, 'ltmc_error', run.error, 'ended_at', run.ended_text,
    'number_of_retries', job.retried + 1)
  keep_result(id, 'retried', worker, run, run.payload, job.failure_ttl)
  if run.delay > 0 then postpone(job.origin, id, NOW + run.delay) else push(job.origin, id, at_front) end
end

local function job_of(id)
  local f = call('HMGET', JOB .. id, 'origin', 'result_ttl', 'failure_ttl', 'retries_left', 'ltmc_waiters', 'ltmc_cancel',
    'dependency_ids', 'retry_intervals', 'number_of_retries', 'ltmc_attempts', 'ltmc_crashes')
  local read, intervals = false, nil
  if f[8] then read, intervals = pcall(cjson.decode, f[8]) end
  local failure_ttl = whole(f[3], 31536000)
  if failure_ttl == 0 then failure_ttl = 1 end  -- who waits for it is to hear why
  return {
    origin = f[1], result_ttl = whole(f[2], 500), failure_ttl = failure_ttl,
    retries_left = f[4], waiters = f[5], cancelled = f[6], parents = f[7],
    retried = whole(f[9], 0), attempts = whole(f[10], 1), crashes = whole(f[11], 0),
    intervals = read and type(intervals) == 'table' and #intervals > 0 and intervals or nil,
  }
end

-- What a run took of its function's limit.
local function release(member, control)
  for field in pairs(control) do
    local func = string.match(field, '^limit:func:(.*)')
    if func then leave_function(func, member) end
  end
end

-- What nobody else would clear away of a job that was deleted under its worker.
local function clear_deleted(worker, id, member)
  call('SREM', HELD .. worker, member)
  call('DEL', 'rq:execution:' .. member, 'rq:executions:' .. id)
  for _, name in ipairs(call('SMEMBERS', NAMES_OF_QUEUES)) do call('ZREM', WIP .. string.sub(name, #QUEUE + 1), member) end
end

-- Let go of jobs; `runs` of one queue. Those that the worker no longer holds are marked as lost.
local function let_go(worker, queue, runs)
  local members, gone = {}, {}
  for i, run in ipairs(runs) do
    members[i] = run.member
    gone[2 * i - 1], gone[2 * i] = 'rq:execution:' .. run.member, 'rq:executions:' .. run.id
  end
  local scores = call('ZMSCORE', WIP .. queue, unpack(members))
  for i, run in ipairs(runs) do run.lost = not scores[i] end
  call('SREM', HELD .. worker, unpack(members))
  if call('ZREM', WIP .. queue, unpack(members)) == #members then call('DEL', unpack(gone))
  else
    for i, run in ipairs(runs) do
      if not run.lost then call('DEL', gone[2 * i - 1], gone[2 * i]) end
    end
  end
end

local MOST_LOOKED_AT = 1000
local before = {}

-- To the front of its queue, but behind the suspects that wait there already: else those of one death after the other
-- would keep the first ones waiting. Those of one call keep their order, the last one being pushed first.
local function push_suspect(queue, id)
  local key, other = QUEUE .. queue, before[queue]
  before[queue] = id
  if not other then
    local i = 0
    repeat
      other = call('LINDEX', key, i)
      local f = other and call('HMGET', JOB .. other, 'ltmc_suspect', 'ltmc_crashes')
      i = i + 1
    until not f or not f[1] and (not f[2] or f[2] == '0') or i >= MOST_LOOKED_AT
  end
  call('HSET', JOB .. id, 'status', 'queued', 'enqueued_at', NOW_TEXT)
  if not other or call('LINSERT', key, 'BEFORE', other, id) < 1 then call('RPUSH', key, id) end
  wake(queue, 1)
end

-- The ends of a run: done, failed (with retries: again later), final (never again, but for a job with intervals of its
-- own), refused (never begun, and never will be), stopped, back (not begun: to the front, and no attempt), again (begun
-- and interrupted: to the front), suspect (it may have killed the process that it shared: next time in one of its own),
-- crashed (its own process died), asks (it ended a leg: no attempt, and it goes on when it has its answers).
local function close(worker, run, crash_limit)
  local id, job, outcome = run.id, run.job, run.outcome
  run.attempts = job.attempts
  if outcome == 'done' then finish(id, job, worker, run)
  elseif outcome == 'refused' then
    call('HSET', JOB .. id, 'ltmc_attempts', job.attempts - 1)
    fail(id, job, worker, run, 'failed')
  elseif job.cancelled and outcome ~= 'final' then
    run.error = CANCELLED
    fail(id, job, worker, run, 'stopped')
  elseif outcome == 'failed' or outcome == 'final' and job.intervals then retry(id, job, worker, run)
  elseif outcome == 'final' then fail(id, job, worker, run, 'failed')
  elseif outcome == 'stopped' then fail(id, job, worker, run, 'stopped')
  elseif outcome == 'crashed' then
    call('HSET', JOB .. id, 'ltmc_crashes', job.crashes + 1)
    if job.crashes + 1 >= crash_limit then fail(id, job, worker, run, 'failed')
    else
      call('HSET', JOB .. id, 'ltmc_error', run.error)
      push(job.origin, id)
    end
  elseif outcome == 'asks' then
    call('HSET', JOB .. id, 'status', 'deferred', 'ltmc_questions', run.payload, 'ltmc_asked_at', NOW_TEXT,
      'ltmc_attempts', job.attempts - 1)
    call('EXPIRE', JOB .. id, ASKS_SECONDS)
    add_later('rq:deferred:' .. job.origin, NOW_SCORE, id)
    tell(job.waiters, id, 'asks')
  elseif outcome == 'suspect' then
    call('HSET', JOB .. id, 'ltmc_suspect', 1)
    push_suspect(job.origin, id)
  else
    if outcome == 'back' then call('HSET', JOB .. id, 'ltmc_attempts', job.attempts - 1)
    elseif job.attempts >= MOST_INTERRUPTED then call('HSET', JOB .. id, 'ltmc_suspect', 1) end
    push(job.origin, id, true)
  end
end

-- End runs: {id, execution, outcome, payload, error, delay, started, ended, started_text, ended_text} each; those that
-- the worker no longer held have `lost` set, and change nothing.
local function complete(worker, runs, control, crash_limit)
  local by_queue = {}
  for _, run in ipairs(runs) do
    run.member, run.job = run.id .. ':' .. run.execution, job_of(run.id)
    if control then release(run.member, control) end
    local queue = run.job.origin
    if queue then
      by_queue[queue] = by_queue[queue] or {}
      table.insert(by_queue[queue], run)
    else
      run.lost = true
      clear_deleted(worker, run.id, run.member)
    end
  end
  for queue, those in pairs(by_queue) do let_go(worker, queue, those) end
  for _, run in ipairs(runs) do
    if not run.lost and not pcall(close, worker, run, crash_limit) then
      -- Somebody wrote a key of the job's that is of another type: that must cost its neighbours nothing.
      call('DEL', RESULTS .. run.id, JOB .. run.id .. ':dependents')
      if not pcall(close, worker, run, crash_limit) then
        pcall(call, 'HSET', JOB .. run.id, 'status', 'failed', 'ended_at', NOW_TEXT)
        pcall(call, 'ZADD', 'rq:failed:' .. run.job.origin, score(NOW + 86400), run.id)
      end
    end
  end
  add_now()
end
