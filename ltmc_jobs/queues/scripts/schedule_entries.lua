-- What the scripts of the schedule share.

local ENTRIES, STOCK_LOCK, OURS_MARK = 'rq:scheduler:scheduled_jobs', 'rq:scheduler_lock', 'ltmc:'
local ASIDE = OURS .. 'unschedulable'
local ENDED_SECONDS = 86400 -- how long the hash of a schedule that is over can be looked at

local function leads(token) return call('GET', LEADER) == token end

-- A schedule is over: its entry goes, its hash stays for a while.
local function finish(id, status)
  call('ZREM', ENTRIES, id)
  if call('EXISTS', JOB .. id) == 0 then return end
  call('HSET', JOB .. id, 'status', status, 'ended_at', NOW_TEXT)
  call('EXPIRE', JOB .. id, ENDED_SECONDS)
end
