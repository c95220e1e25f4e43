-- Take an entry out of the schedule. ARGV: its id. Answer: 1 if there was one.

if not call('ZSCORE', ENTRIES, ARGV[1]) then return 0 end
finish(ARGV[1], 'canceled')
return 1
