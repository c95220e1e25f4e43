-- Jobs of a project that are as wanted, newest first: from a place on, in a part of those noted.
-- ARGV: where they are noted; the bound to begin below ('+' | '(place'); state ('' for any), whether those of it that ask
-- something ('1'), or those that do not; tool and queue ('' for any); jobs to find and to look at, at most.
-- Answer: the place that was looked at last ('' where nothing is older), then the ids.

local noted, below, state, asking, tool, queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5], ARGV[6]
local wanted, most = tonumber(ARGV[7]), tonumber(ARGV[8])

local function is_as_wanted(id, made)
  local f = call('HMGET', JOB .. id, 'created_at', 'status', 'ltmc_questions', 'origin', 'meta')
  if f[1] ~= made then return false end  -- it has expired; or another has its id since
  if state ~= '' and (f[2] ~= state or (state == 'deferred' and asking ~= (f[3] and f[3] ~= ''))) then return false end
  if queue ~= '' and f[4] ~= queue then return false end
  if tool == '' then return true end
  local read, meta = pcall(cjson.decode, f[5] or '')
  return read and type(meta) == 'table' and meta.name == tool
end

local places = call('ZREVRANGEBYLEX', noted, below, '-', 'LIMIT', 0, most)
local answer = {#places < most and '' or places[#places]}
for _, place in ipairs(places) do
  local made, id = string.match(place, '^([^~]*)~(.*)$')
  if is_as_wanted(id, made) then
    answer[#answer + 1] = id
    if #answer > wanted then
      answer[1] = place
      break
    end
  end
end
return answer
