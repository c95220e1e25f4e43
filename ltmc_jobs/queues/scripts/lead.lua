-- Lead, or go on leading. ARGV: name, seconds. Answer: '1' if it leads.

return take_lead(ARGV[1], tonumber(ARGV[2])) and '1' or '0'
