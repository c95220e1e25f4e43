-- Renew a worker's lease, and what RQ shows of it. ARGV: worker, seconds of lease, life of its hash, whether it may
-- lead ('1'), seconds of leadership, number of queues, queues, then its hash: name, value …
-- Answer: whether its lease had not ended before ('1'), whether it leads now ('1'), server time, paused queues.

local worker, lease, life = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key, count = WORKER .. worker, tonumber(ARGV[6])
local held_on = call('ZSCORE', LEASES, worker)
call('ZADD', LEASES, score(NOW + lease), worker)

local fields = {'last_heartbeat', NOW_TEXT}
for i = 7 + count, #ARGV do fields[#fields + 1] = ARGV[i] end
call('HSET', key, unpack(fields))
call('HSETNX', key, 'birth', NOW_TEXT)
call('HDEL', key, 'death')
call('EXPIRE', key, life)
call('SADD', 'rq:workers', key)
for i = 7, 6 + count do
  call('SADD', 'rq:workers:' .. ARGV[i], key)
  call('SADD', NAMES_OF_QUEUES, QUEUE .. ARGV[i])
end

local leads = call('GET', LEADER)
if ARGV[4] == '1' and (not leads or leads == worker) then
  call('SET', LEADER, worker, 'PX', tonumber(ARGV[5]) * 1000)
  leads = worker
end
return {held_on and '1' or '0', leads == worker and '1' or '0', score(NOW)}
