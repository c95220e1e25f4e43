-- Set an entry that cannot run aside, with the reason.
-- ARGV: the leader's token, schedule, its score as it was read, what is kept of it (JSON). Answer: 1 if it was.

if not leads(ARGV[1]) or tonumber(call('ZSCORE', ENTRIES, ARGV[2]) or 'nan') ~= tonumber(ARGV[3]) then return 0 end
call('ZREM', ENTRIES, ARGV[2])
call('ZADD', ASIDE, score(NOW), ARGV[4])
call('ZREMRANGEBYRANK', ASIDE, 0, -1001)
return 1
