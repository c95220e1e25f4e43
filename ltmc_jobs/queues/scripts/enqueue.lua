-- Enqueue jobs: each once, however often this is sent.
-- ARGV: the number of groups; per group its queue, where its jobs are noted, and the hash fields that they share (count,
-- then name, value …);
-- then per job: group, id, data, description, delay or due time ('' | '+seconds' | seconds), parents ('' | 'id id'),
-- waiter ('' | channel), meta ('' | JSON), and what calls like it have in common ('' | 'open:key' to join one that has not
-- ended, 'waiting:key' to join one that has not begun).
-- Answer: per job 1 (made now, or by the same command sent before), 0 (was there already), or the id of the one joined.

local JOINED_SECONDS = 5

-- The job that an earlier call like this one made, if it may be joined.
local function joinable(how, key)
  local id = call('GET', key)
  local status = id and call('HGET', JOB .. id, 'status')
  if status == 'queued' or status == 'scheduled' or status == 'deferred' or (how == 'open' and status == 'started') then
    return id
  end
end

local groups, at = {}, 2
for g = 1, tonumber(ARGV[1]) do
  local queue, noted, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local shared = {}
  groups[g] = {queue = queue, noted = noted, shared = shared, pushed = 0, ends = {}, places = {}}
  for i = 1, count do shared[i] = ARGV[at + 2 + i] end
  for i = 1, count, 2 do
    if shared[i] == 'enqueue_at_front' then groups[g].at_front = shared[i + 1] == '1' end
    if shared[i] == 'ttl' then groups[g].ttl = tonumber(shared[i + 1]) end
  end
  call('SADD', NAMES_OF_QUEUES, QUEUE .. queue)
  at = at + 3 + count
end

local made, seen = {}, {}
while at <= #ARGV do
  local group, id, data = groups[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2]
  local due, parents, waiter, meta = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local known = seen[id] and '' or call('HGET', JOB .. id, 'data')
  seen[id] = true
  local how, like = string.match(ARGV[at + 8], '^(%a+):(.+)$')
  local other = not known and how and joinable(how, OURS .. 'joined:' .. like)
  if other then
    call('HSET', JOB .. other, 'ltmc_joined', 1)
    made[#made + 1] = other
  elseif known then
    -- The envelope holds the moment of signing, so equal data is the same command sent again.
    made[#made + 1] = known == data and 1 or 0
  else
    local fields = {'data', data, 'description', ARGV[at + 3]}
    for i = 1, #group.shared do fields[i + 4] = group.shared[i] end
    if meta ~= '' then fields[#fields + 1] = 'meta'; fields[#fields + 1] = meta end
    if waiter ~= '' then fields[#fields + 1] = 'ltmc_waiters'; fields[#fields + 1] = waiter end
    local ids = {}
    for parent in string.gmatch(parents, '%S+') do ids[#ids + 1] = parent end
    local when = nil
    if due ~= '' then when = (string.sub(due, 1, 1) == '+') and NOW + tonumber(due) or tonumber(due) end
    local ends = not group.at_front and group.ends or nil
    if new_job(id, group.queue, fields, ids, when, group.at_front, ends) == 'queued' then group.pushed = group.pushed + 1 end
    local places = group.places
    places[#places + 1], places[#places + 2] = 0, place_of(id, NOW_TEXT)
    if group.ttl then call('EXPIRE', JOB .. id, group.ttl) end  -- until it runs
    if how then call('SET', OURS .. 'joined:' .. like, id, 'EX', JOINED_SECONDS) end
    made[#made + 1] = 1
  end
  at = at + 9
end
for _, group in ipairs(groups) do
  if #group.ends > 0 then call('RPUSH', QUEUE .. group.queue, unpack(group.ends)) end
  if #group.places > 0 then note(group.noted, group.places) end
  if group.pushed > 0 then wake(group.queue, group.pushed) end
end
return made
