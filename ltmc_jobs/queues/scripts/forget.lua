-- Delete jobs that are in one of some states, with their entries in registries.
-- ARGV: number of states; per state its name and its registry; then jobs. Answer: how many were deleted.

local registries, gone = {}, 0
for i = 1, tonumber(ARGV[1]) do registries[ARGV[2 * i]] = ARGV[2 * i + 1] end
for i = 2 * tonumber(ARGV[1]) + 2, #ARGV do
  local f = call('HMGET', JOB .. ARGV[i], 'status', 'origin')
  local registry = f[1] and registries[f[1]]
  if registry then
    delete_job(ARGV[i])
    call('ZREM', 'rq:' .. registry .. ':' .. (f[2] or ''), ARGV[i])
    gone = gone + 1
  end
end
return gone
