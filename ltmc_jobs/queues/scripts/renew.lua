-- Renew a worker's lease, and what RQ shows of it. ARGV: worker, seconds of lease, life of its hash, seconds of
-- leadership, whether to say again who it is ('1'), number of queues, queues, then its hash: name, value …
-- Answer: whether its lease had not ended before ('1'), whether it leads now ('1'), server time, whether its host is
-- drained ('1'), how many jobs it holds, which of these somebody cancelled.

local worker, lease, life = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key, count = WORKER .. worker, tonumber(ARGV[6])
local held_on = call('ZSCORE', LEASES, worker)
call('ZADD', LEASES, score(NOW + lease), worker)

local fields = {'last_heartbeat', NOW_TEXT}
for i = 7 + count, #ARGV do fields[#fields + 1] = ARGV[i] end
call('HSET', key, unpack(fields))
call('EXPIRE', key, life)
if ARGV[5] == '1' or not held_on then
  call('HSETNX', key, 'birth', NOW_TEXT)
  call('HDEL', key, 'death')
  call('SADD', 'rq:workers', key)
  for i = 7, 6 + count do
    call('SADD', 'rq:workers:' .. ARGV[i], key)
    call('SADD', NAMES_OF_QUEUES, QUEUE .. ARGV[i])
  end
end

local leads = take_lead(worker, tonumber(ARGV[4]))
local host = string.match(worker, '^(.*)%.[^.]*%.[^.]*%.[^.]*%.[^.]*$') or worker
local drained = call('HEXISTS', CONTROL, 'drain:' .. host) == 1
if drained then  -- it would sleep through what it is woken for
  for i = 7, 6 + count do call('SREM', IDLE .. ARGV[i], worker) end
end
local held, cancelled = call('SMEMBERS', HELD .. worker), {}
for i = 1, math.min(#held, 500) do  -- the call that told it may have been lost
  local id = string.match(held[i], '^[^:]*')
  if call('HEXISTS', JOB .. id, 'ltmc_cancel') == 1 then cancelled[#cancelled + 1] = id end
end
return {held_on and '1' or '0', leads and '1' or '0', score(NOW), drained and '1' or '0', #held, cancelled}
