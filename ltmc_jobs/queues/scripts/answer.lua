-- Give a job answers to what it asks. ARGV: job, its questions as they were read, those that are left ('' for none), then
-- per answer its key and its text.
-- Answer: 'missing', 'changed' (they are not these questions any more), 'asks' (some are left), or 'queued'.

local id = ARGV[1]
local f = call('HMGET', JOB .. id, 'status', 'origin', 'ltmc_questions', 'ltmc_waiters', 'data')
if not f[5] then return 'missing' end
if f[1] ~= 'deferred' or f[3] ~= ARGV[2] then return 'changed' end
for i = 4, #ARGV, 2 do call('HSET', JOB .. id, 'ltmc_answer:' .. ARGV[i], ARGV[i + 1]) end
if ARGV[3] ~= '' then
  call('HSET', JOB .. id, 'ltmc_questions', ARGV[3])
  return 'asks'
end
call('HDEL', JOB .. id, 'ltmc_questions')
call('PERSIST', JOB .. id)
call('ZREM', 'rq:deferred:' .. f[2], id)
push(f[2], id)
tell(f[4], id, 'answered')
return 'queued'
