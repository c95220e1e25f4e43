-- End a worker that is dead, or takes its leave: what it holds goes back, and nothing of it stays.
-- ARGV: worker, outcome for what it holds (back | again), crash limit, seconds that a grace has ended ('' or a number:
-- only if its lease ended before then), number of queues, queues, then the runs that are suspects: job:execution …
-- Answer: {jobs given back, suspects found}, or nil if it was not to be buried.

local worker, outcome, count = ARGV[1], ARGV[2], tonumber(ARGV[5])
local key, held = WORKER .. worker, HELD .. worker
if ARGV[4] ~= '' then
  local ends = call('ZSCORE', LEASES, worker)
  if not ends or tonumber(ends) > NOW - tonumber(ARGV[4]) then return nil end
end
local suspects, found, given = {}, 0, 0
for i = 6 + count, #ARGV do suspects[ARGV[i]] = true end

local control = controls()
local members = call('SMEMBERS', held)
-- The last claimed goes to the front first, so that the order stays. An execution ends in <tick>-<place in it>.
local function order(member)
  local tick, place = string.match(member, '%-(%d+)%-(%d+)$')
  return tonumber(tick or '0') * 100000 + tonumber(place or '0')
end
table.sort(members, function(a, b) return order(a) > order(b) end)
local PAGE = 500  -- what Lua passes on at once has its bound
for first = 1, #members, PAGE do
  local runs = {}
  for i = first, math.min(first + PAGE - 1, #members) do
    local id, execution = string.match(members[i], '^(.-):(.*)$')
    runs[#runs + 1] = {
      id = id, execution = execution, outcome = suspects[members[i]] and 'suspect' or outcome, payload = '', delay = 0,
      error = '', started = NOW_SCORE, ended = NOW_SCORE, started_text = NOW_TEXT, ended_text = NOW_TEXT,
    }
  end
  complete(worker, runs, control, tonumber(ARGV[3]))
  for _, run in ipairs(runs) do
    if not run.lost then
      given = given + 1
      if suspects[run.member] then found = found + 1 end
    end
  end
end
local queues = {}
for i = 6, 5 + count do queues[#queues + 1] = ARGV[i] end
if count == 0 then
  for queue in string.gmatch(call('HGET', key, 'queues') or '', '[^,]+') do queues[#queues + 1] = queue end
end
if #queues == 0 then  -- long dead: its hash has expired
  for _, name in ipairs(call('SMEMBERS', NAMES_OF_QUEUES)) do queues[#queues + 1] = string.sub(name, #QUEUE + 1) end
end
call('DEL', held, WAKE .. worker)
call('ZREM', LEASES, worker)
call('SREM', 'rq:workers', key)
for _, queue in ipairs(queues) do
  call('SREM', 'rq:workers:' .. queue, key)
  call('SREM', IDLE .. queue, worker)
end
if call('EXISTS', key) == 1 then
  call('HSET', key, 'death', NOW_TEXT, 'state', 'dead')
  call('EXPIRE', key, 60)
end
if call('GET', LEADER) == worker then call('DEL', LEADER) end
-- What it was woken for, somebody else takes.
for _, queue in ipairs(queues) do
  if call('LLEN', QUEUE .. queue) > 0 then wake(queue, 1) end
end
return {given, found}
