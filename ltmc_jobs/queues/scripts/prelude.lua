-- What all scripts share: the server's clock, waking workers, putting a job into its queue.
-- OURS, before this, is how keys of ours begin.

if redis.replicate_commands then redis.replicate_commands() end  -- before Redis 7, a script that asks for the time must

local call = redis.call
local LEASES, HELD, IDLE, WAKE = OURS .. 'lease', OURS .. 'held:', OURS .. 'idle:', OURS .. 'wake:'
local CONTROL, LEADER, DUE = OURS .. 'control', OURS .. 'leader', OURS .. 'due'
local JOB, QUEUE, WIP, RESULTS, WORKER = 'rq:job:', 'rq:queue:', 'rq:wip:', 'rq:results:', 'rq:worker:'
local NAMES_OF_QUEUES = 'rq:queues'

local clock = call('TIME')
local NOW = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

-- ISO 8601 in UTC with microseconds, as RQ writes times (civil calendar from days since 1970).
local function iso(seconds, micros)
  local floor = math.floor
  local days, rest = floor(seconds / 86400), seconds % 86400
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local day, month = doy - floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ',
    year, month, day, floor(rest / 3600), floor(rest % 3600 / 60), rest % 60, micros)
end

local NOW_TEXT = iso(tonumber(clock[1]), tonumber(clock[2]))

-- A whole number out of a field that anybody may have written.
local function whole(text, default)
  local digits = text and string.match(text, '^(%-?%d+)%.?%d*$')
  return digits and #digits < 12 and tonumber(digits) or default
end

local function score(seconds) return string.format('%.6f', seconds) end

local NOW_SCORE = score(NOW)

-- Wake at most so many workers that wait for work of this queue; a paused queue is left alone.
local function wake(queue, wanted)
  if call('HEXISTS', CONTROL, 'pause:' .. queue) == 1 then return end
  for _ = 1, wanted do
    local worker = call('SPOP', IDLE .. queue)
    if not worker then return end
    call('RPUSH', WAKE .. worker, 'w')
    call('EXPIRE', WAKE .. worker, 60)
  end
end

-- Put a job, whose hash is there, at the end of its queue (or at its front), and wake a worker.
local function push(queue, id, at_front)
  call('HSET', JOB .. id, 'status', 'queued', 'enqueued_at', NOW_TEXT)
  call(at_front and 'LPUSH' or 'RPUSH', QUEUE .. queue, id)
  wake(queue, 1)
end

-- Put a job into its queue at a time to come; the leader moves it. `DUE` spares it the look at every queue.
local function postpone(queue, id, at)
  call('HSET', JOB .. id, 'status', 'scheduled')
  call('ZADD', 'rq:scheduled:' .. queue, score(at), id)
  call('ZADD', DUE, 'LT', score(at), queue)
end

-- Everything that belongs to a job, but for its place in a queue or a registry.
local function delete_job(id)
  call('DEL', JOB .. id, JOB .. id .. ':dependents', 'rq:job::' .. id .. ':dependencies', RESULTS .. id, OURS .. 'log:' .. id,
    OURS .. 'steps:' .. id)
end

-- Tell those who wait for a job: `waiters` are channels, parted by spaces.
local function tell(waiters, id, status, result)
  for channel in string.gmatch(waiters or '', '%S+') do
    call('PUBLISH', channel, id .. '\n' .. status .. '\n' .. (result or ''))
  end
end

-- Whether everything that a job depends on has finished (what is unknown, or expired, has).
local function is_free(id)
  for _, parent in ipairs(call('SMEMBERS', 'rq:job::' .. id .. ':dependencies')) do
    local status = call('HGET', JOB .. parent, 'status')
    local failed = status == 'failed' or status == 'stopped' or status == 'canceled'
    local allowed = failed and call('HGET', JOB .. id, 'allow_dependency_failures') == '1'
    if status and status ~= 'finished' and not allowed then return false end
  end
  return true
end
