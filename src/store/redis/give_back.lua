-- Gives back permits that were taken at a moment: no more than is still counted from then.
local back, taken_at = tonumber(ARGV[6]), tonumber(ARGV[7])
ahead = max(ahead, taken_at - now)

local list = load_state()
if not list or limit == 0 then return 0 end

if algorithm == FIXED then
  local start, last, spent = window_of(list)
  local begins = last - start < window and start or last
  if spent == 0 or begins + window <= now or taken_at < start or taken_at > now then return 0 end
  save_window(start, last, max(0, spent - back))
elseif algorithm == SLIDING then
  local times, counts = sliding_of(list)
  local cell = math.ceil(window / 32)
  for i = 1, #times do
    if times[i] >= taken_at then
      -- Another cell's run: the one that counted these is gone, and with it what it counted.
      if times[i] - fmod(times[i], cell) ~= taken_at - fmod(taken_at, cell) then return 0 end
      counts[i] = counts[i] - back
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
  local at, permits, part = bucket_of(list)
  if at < now then
    permits, part = owed_at(now, at, permits, part)
    at = now
  end
  -- What has refilled since then is there already.
  local credit, credit_part = owed_at(max(now, taken_at), taken_at, back, 0)
  permits, part = less(permits, part, credit, credit_part)
  save_bucket(at, permits, part)
end
return 1
