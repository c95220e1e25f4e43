-- Fire one tick of a schedule and set its next one, in one step; or pass a tick over.
-- ARGV: the leader's token, schedule, its score and its meta as they were read, next score ('' when it is over),
-- 'run' | 'pass', or, where the entry is the job itself, 'self' | 'drop'; overlap ('allow' | 'skip' | 'queue'), the run before,
-- meta after the run, meta after a tick passed over, score and meta while it waits for the run before;
-- then the run: id, queue, at front ('1'), where its project's jobs are noted, hash fields.
-- Answer: 'fired' | 'passed' | 'overlap' | 'waits' | 'canceled' | 'moved' (somebody else was first) | 'fenced'.

local id, was, meta, following, act = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local overlap, before = ARGV[7], ARGV[8]
local run, queue, at_front, noted = ARGV[13], ARGV[14], ARGV[15] == '1', ARGV[16]
local own = JOB .. id

if not leads(ARGV[1]) then return 'fenced' end
local known = call('HMGET', own, 'meta', 'status')
if call('ZSCORE', ENTRIES, id) ~= was or (known[1] or '') ~= meta then return 'moved' end
if known[2] == 'canceled' then
  finish(id, 'canceled')
  return 'canceled'
end

local function advance(new_meta)
  call('HSET', own, 'meta', new_meta)
  if following == '' then finish(id, 'finished') else call('ZADD', ENTRIES, following, id) end
end

if act == 'drop' then
  finish(id, 'canceled')
  return 'passed'
elseif act == 'pass' then
  advance(ARGV[10])
  return 'passed'
end
if overlap ~= 'allow' and before ~= '' then
  local status = call('HGET', JOB .. before, 'status')
  if status == 'queued' or status == 'started' or status == 'deferred' or status == 'scheduled' then
    if overlap == 'skip' then
      advance(ARGV[10])
      return 'overlap'
    end
    call('HSET', own, 'meta', ARGV[12])
    call('ZADD', ENTRIES, ARGV[11], id)
    return 'waits'
  end
end

call('SADD', NAMES_OF_QUEUES, QUEUE .. queue)
if act == 'self' then
  call('ZREM', ENTRIES, id)
  call('HSET', own, 'meta', ARGV[9])
  push(queue, id, at_front)
  local made = call('HGET', own, 'created_at')
  if made then note(noted, {0, place_of(id, made)}) end
  return 'fired'
end
if call('EXISTS', JOB .. run) == 0 then
  local fields = {}
  for i = 17, #ARGV do fields[#fields + 1] = ARGV[i] end
  new_job(run, queue, fields, {}, nil, at_front)
  note(noted, {0, place_of(run, NOW_TEXT)})
  wake(queue, 1)
end
advance(ARGV[9])
return 'fired'
