-- What is due now, for the process that leads; and keep rq-scheduler's own loop out meanwhile.
-- ARGV: the leader's token, how many at most.
-- Answer: 'fenced' | 'stock' (rq-scheduler's loop runs) | 'due'; now; the score after these; then for each entry
-- id, score, and of its hash: data, meta, origin, status, at front, description, times to live, retries.

if not leads(ARGV[1]) then return {'fenced'} end
local lock = call('GET', STOCK_LOCK)
if lock and string.sub(lock, 1, #OURS_MARK) ~= OURS_MARK then return {'stock'} end
if lock ~= OURS_MARK .. ARGV[1] or call('TTL', STOCK_LOCK) < 10 then
  call('SET', STOCK_LOCK, OURS_MARK .. ARGV[1], 'EX', 20)
end

local following = call('ZRANGEBYSCORE', ENTRIES, '(' .. score(NOW), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local answer = {'due', score(NOW), following[2] or ''}
local found = call('ZRANGEBYSCORE', ENTRIES, '-inf', score(NOW), 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]))
for i = 1, #found, 2 do
  local values = redis.pcall('HMGET', JOB .. found[i], 'data', 'meta', 'origin', 'status', 'enqueue_at_front',
    'description', 'timeout', 'result_ttl', 'failure_ttl', 'ttl', 'retries_left', 'number_of_retries', 'retry_intervals')
  answer[#answer + 1] = {found[i], found[i + 1], values.err and {} or values}
end
return answer
