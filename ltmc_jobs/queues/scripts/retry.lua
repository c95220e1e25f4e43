-- Put a failed or stopped job back into its queue. ARGV: job. Answer: 'queued', 'missing', or the state that it is in.

local id = ARGV[1]
local f = call('HMGET', JOB .. id, 'status', 'origin', 'data')
if not f[3] then return 'missing' end
if f[1] ~= 'failed' and f[1] ~= 'stopped' then return f[1] or 'missing' end
call('ZREM', 'rq:failed:' .. f[2], id)
call('HDEL', JOB .. id, 'ltmc_error', 'ltmc_cancel', 'ltmc_crashes', 'exc_info')
call('PERSIST', JOB .. id)
call('PERSIST', JOB .. id .. ':dependents')
push(f[2], id)
return 'queued'
