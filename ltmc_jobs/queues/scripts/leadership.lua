-- Who leads: the one whose name the key holds, for as long as it says so again.

local function take_lead(name, seconds)
  local leads = call('GET', LEADER)
  if leads and leads ~= name then return false end
  call('SET', LEADER, name, 'PX', seconds * 1000)
  return true
end
