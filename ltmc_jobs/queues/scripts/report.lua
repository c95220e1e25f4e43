-- What running jobs tell of themselves. ARGV: lines kept, then per word: job, execution, 'progress' or 'log', text.
-- Only who holds a job may tell of it.

for i = 2, #ARGV, 4 do
  local id, execution, text = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local queue = call('HGET', JOB .. id, 'origin')
  if queue and call('ZSCORE', WIP .. queue, id .. ':' .. execution) then
    if ARGV[i + 2] == 'progress' then call('HSET', JOB .. id, 'ltmc_progress', text, 'last_heartbeat', NOW_TEXT)
    else
      call('RPUSH', OURS .. 'log:' .. id, text)
      call('LTRIM', OURS .. 'log:' .. id, -tonumber(ARGV[1]), -1)
      call('EXPIRE', OURS .. 'log:' .. id, 86400)
    end
  end
end
return 1
