-- Gives back permits that were taken at a moment: no more than is still counted from then.
local permits, at = tonumber(ARGV[5]), tonumber(ARGV[6])

local list = load_state()
if not list or list[2] ~= algorithm or limit == 0 then return 0 end

if algorithm == FIXED then
  local ends, spent = list[6], list[7]
  if ends <= now or at >= ends or at < ends - list[4] then return 0 end
  save_window(ends, max(0, spent - permits))
elseif algorithm == SLIDING then
  local times, counts = runs_of(list, window, max(1000000, at - now))
  local cell = math.ceil(window / 32)
  for i = 1, #times do
    if times[i] >= at then
      -- Another cell's run: the one that counted these is gone, and with it what it counted.
      if times[i] - fmod(times[i], cell) ~= at - fmod(at, cell) then return 0 end
      counts[i] = counts[i] - permits
      if counts[i] <= 0 then
        table.remove(times, i)
        table.remove(counts, i)
      end
      save_runs(times, counts)
      return 1
    end
  end
  return 0
else
  local us, part = list[6], list[7]
  if list[3] ~= limit or us < now then return 0 end
  -- What has refilled since then is there already.
  local credit, credit_part = muldiv(permits, window, limit)
  credit = credit - max(0, now - at)
  if credit < 0 then return 0 end
  us, part = us - credit, part - credit_part
  if part < 0 then us, part = us - 1, part + limit end
  save_bucket(us, part)
end
return 1
