-- Cancel a job. ARGV: job, seconds that it is kept for, '1' to let it be where other callers have joined it.
-- Answer: 'missing', 'canceled' (it will never run), 'stopping' (it runs, and is being stopped), 'shared' (it was let be),
-- or how it has ended.

local id = ARGV[1]
local f = call('HMGET', JOB .. id, 'status', 'origin', 'worker_name', 'ltmc_waiters', 'data', 'meta', 'ltmc_joined')
local status, queue = f[1], f[2]
if not f[5] then return 'missing' end
if ARGV[3] == '1' and f[7] then return 'shared' end
if status == 'started' then
  call('HSET', JOB .. id, 'ltmc_cancel', 1)
  if f[3] and call('ZSCORE', LEASES, f[3]) then
    call('RPUSH', WAKE .. f[3], 'c' .. id)
    call('EXPIRE', WAKE .. f[3], 60)
  elseif f[3] then
    call('PUBLISH', 'rq:pubsub:' .. f[3], cjson.encode({command = 'stop-job', job_id = id}))  -- a stock worker
  end
  return 'stopping'
end
if status ~= 'queued' and status ~= 'deferred' and status ~= 'scheduled' then return status or 'missing' end
call('LREM', QUEUE .. queue, 1, id)
call('ZREM', 'rq:deferred:' .. queue, id)
call('ZREM', 'rq:scheduled:' .. queue, id)
call('ZREM', 'rq:scheduler:scheduled_jobs', id)  -- a schedule has ended with that
call('HSET', JOB .. id, 'status', 'canceled', 'ended_at', NOW_TEXT)
call('HDEL', JOB .. id, 'ltmc_waiters', 'ltmc_questions')
call('EXPIRE', JOB .. id, ARGV[2])
call('EXPIRE', JOB .. id .. ':dependents', ARGV[2])
call('EXPIRE', 'rq:job::' .. id .. ':dependencies', ARGV[2])
call('ZADD', 'rq:canceled:' .. queue, score(NOW), id)
call('XADD', RESULTS .. id, 'MAXLEN', 10, '*', 'type', '3', 'worker_name', '')
call('EXPIRE', RESULTS .. id, ARGV[2])
local func = function_of(f[6])
local limit = func and limit_of(controls(), 'func:' .. func)
if limit and call('ZREM', PARKED .. func, id) == 0 and call('SCARD', RUNNING .. func) < limit.at_once then
  unpark(func)  -- it may have been its turn
end
tell(f[4], id, 'canceled')
return 'canceled'
