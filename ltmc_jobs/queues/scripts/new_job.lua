-- Write a job's hash and put it where it belongs; used by the scripts that make jobs.

local NOTED = 10000 -- of a project's jobs, the newest

-- Note jobs of a project, scores (0) and places in turn, by when they were made: RQ's registries are in other orders.
local function note(noted, places)
  call('ZADD', noted, unpack(places))
  call('ZREMRANGEBYRANK', noted, 0, -NOTED - 1)
end

local function place_of(id, made) return made .. '~' .. id end

-- `fields`: a flat list of hash fields. `parents`: ids. `at`: due time in seconds, or nil. `ends`: a list that takes the
-- ids for the end of the queue, where the caller puts them there all at once.
local function new_job(id, queue, fields, parents, at, at_front, ends)
  local key, status = JOB .. id, 'queued'
  for _, parent in ipairs(parents) do
    call('SADD', 'rq:job::' .. id .. ':dependencies', parent)
    if call('EXISTS', JOB .. parent) == 1 then
      call('SADD', JOB .. parent .. ':dependents', id)
      local life = call('HEXISTS', JOB .. parent, 'ended_at') == 1 and call('PTTL', JOB .. parent) or -1
      if life > 0 then call('PEXPIRE', JOB .. parent .. ':dependents', life) end
    end
  end
  if at and at > NOW then status = 'scheduled'
  elseif #parents > 0 and not is_free(id) then status = 'deferred' end
  if #parents > 0 then
    local m = #fields
    fields[m + 1], fields[m + 2], fields[m + 3] = 'dependency_id', parents[1], 'dependency_ids'
    fields[m + 4] = cjson.encode(parents)
  end
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = 'created_at', NOW_TEXT, 'status', status
  fields[n + 5], fields[n + 6] = 'origin', queue
  if status == 'queued' then fields[n + 7], fields[n + 8] = 'enqueued_at', NOW_TEXT end
  call('HSET', key, unpack(fields))
  if status == 'scheduled' then postpone(queue, id, at)
  elseif status == 'deferred' then call('ZADD', 'rq:deferred:' .. queue, score(NOW), id)
  elseif ends then ends[#ends + 1] = id
  else call(at_front and 'LPUSH' or 'RPUSH', QUEUE .. queue, id) end
  return status
end
