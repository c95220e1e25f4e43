-- Say that somebody waits for jobs. ARGV: channel, then jobs. Answer: per job its status, 'asks' for one that waits for
-- answers, or '' for no such job.

local states = {}
for i = 2, #ARGV do
  local f = call('HMGET', JOB .. ARGV[i], 'status', 'ltmc_waiters', 'data', 'ltmc_questions')
  local status = f[3] and (f[1] or 'created') or ''
  local open = status == 'created' or status == 'queued' or status == 'deferred' or status == 'scheduled' or status == 'started'
  if open and not string.find(' ' .. (f[2] or '') .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
    call('HSET', JOB .. ARGV[i], 'ltmc_waiters', f[2] and f[2] ~= '' and f[2] .. ' ' .. ARGV[1] or ARGV[1])
  end
  states[#states + 1] = f[4] and status == 'deferred' and 'asks' or status
end
return states
