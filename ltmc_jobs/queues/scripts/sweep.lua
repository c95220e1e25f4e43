-- Delete jobs that ended before a time; those that are younger, or have not ended, stay, whoever names them.
-- ARGV: the time, as RQ writes it; registry; then jobs, as the registry has them. Answer: how many are gone from it.

local gone = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local f = call('HMGET', JOB .. id, 'status', 'ended_at', 'created_at')
  local final = f[1] == 'finished' or f[1] == 'failed' or f[1] == 'stopped' or f[1] == 'canceled'
  local at = f[2] or f[3]
  if not f[3] and call('EXISTS', JOB .. id) == 0 then
    gone = gone + call('ZREM', ARGV[2], id)  -- it has expired, and its registry was not told
  elseif final and at and at < ARGV[1] then
    delete_job(id)
    gone = gone + call('ZREM', ARGV[2], id)
  end
end
return gone
