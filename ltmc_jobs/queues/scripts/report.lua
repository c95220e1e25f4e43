-- What running jobs tell of themselves. ARGV: lines kept, then per word: job, execution, 'progress' or 'log', text.
-- Only who holds a job may tell of it. Each step of its progress is kept, and told with its number to those who wait.

local function keep(key, text)
  call('RPUSH', key, text)
  call('LTRIM', key, -tonumber(ARGV[1]), -1)
  call('EXPIRE', key, 86400)
end

for i = 2, #ARGV, 4 do
  local id, execution, text = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local f = call('HMGET', JOB .. id, 'origin', 'ltmc_waiters', 'ltmc_steps')
  if f[1] and call('ZSCORE', WIP .. f[1], id .. ':' .. execution) then
    if ARGV[i + 2] == 'progress' then
      local number = whole(f[3], 0) + 1
      call('HSET', JOB .. id, 'ltmc_progress', text, 'ltmc_progress_at', NOW_TEXT, 'last_heartbeat', NOW_TEXT,
        'ltmc_steps', number)
      keep(OURS .. 'steps:' .. id, text)
      tell(f[2], id, 'progress', number .. '\n' .. text)
    else
      keep(OURS .. 'log:' .. id, text)
      tell(f[2], id, 'log', text)
    end
  end
end
return 1
