-- Declare a schedule, or a job for later: its hash and its entry.
-- ARGV: id, fingerprint of what is declared, due ('' for now | '+seconds' | seconds), '1' to keep one that is declared the
-- same, then the hash fields, 'data' and its value first.
-- Answer: 1 (declared, also by the same command sent before), 0 (kept as it is), -1 (another job has this id).

local id, definition, due, keeps, data = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[6]
local own = JOB .. id
local known = call('HMGET', own, 'data', 'ltmc_definition', 'status')
local entered = call('ZSCORE', ENTRIES, id)
if known[1] == data then return 1 end
if entered and keeps and known[2] == definition then return 0 end
-- What cannot run may be declared anew, as its cure says: whether it was set aside, and is no longer.
local function leave_aside()
  local found = false
  for _, kept in ipairs(call('ZRANGE', ASIDE, 0, -1)) do
    if cjson.decode(kept).id == id then found = call('ZREM', ASIDE, kept) end
  end
  return found
end

if known[1] and not entered and not leave_aside() then
  local status = known[3]
  if not known[2] or status == 'queued' or status == 'started' or status == 'deferred' then return -1 end
end

local at = NOW
if string.sub(due, 1, 1) == '+' then at = NOW + tonumber(string.sub(due, 2)) elseif due ~= '' then at = tonumber(due) end
local fields = {'created_at', NOW_TEXT, 'status', 'scheduled', 'ltmc_definition', definition}
for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
call('DEL', own, RESULTS .. id)
call('HSET', own, unpack(fields))
call('ZADD', ENTRIES, string.format('%.3f', math.floor(at * 1000) / 1000), id)
return 1
