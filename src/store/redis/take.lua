-- Takes between `cost` and `want` permits, or none. Answers: permits taken, permits left, microseconds until that
-- changes (for a refusal: until the cost fits), microseconds that the permits may be held, the moment they count at.
local cost, want = tonumber(ARGV[6]), tonumber(ARGV[7])
local hold, owed = tonumber(ARGV[8]), tonumber(ARGV[9])
ahead = max(ahead, hold)

-- How much is given of what is there: never so much of the rest that other replicas starve.
local function share(available)
  if available < cost then return 0 end
  return min(want, available, max(cost, floor(available / 4)))
end

-- Joins neighbours of one cell. There are several where the window was shorter before.
local function join_cells(times, counts, cell)
  local i = 1
  while times[i + 1] do
    if floor(times[i] / cell) == floor(times[i + 1] / cell) then
      counts[i + 1] = counts[i + 1] + counts[i]
      table.remove(times, i)
      table.remove(counts, i)
    else
      i = i + 1
    end
  end
end

local function sliding(list)
  local times, counts, used, changed = sliding_of(list)
  local cell = math.ceil(window / 32)
  local function add(at, permits)
    if #times >= RUNS then join_cells(times, counts, cell) end
    local place = #times
    while place > 0 and times[place] - fmod(times[place], cell) > at do place = place - 1 end
    if place > 0 and times[place] - fmod(times[place], cell) == at - fmod(at, cell) then
      times[place] = max(times[place], at)
      counts[place] = counts[place] + permits
    else
      table.insert(times, place + 1, at)
      table.insert(counts, place + 1, permits)
    end
    used, changed = used + permits, true
  end
  local late = min(owed, max(0, limit - used))
  if late > 0 then add(now, late) end
  local granted = share(max(0, limit - used))
  local at = now + hold
  if granted > 0 then add(at, granted) end
  if changed then save_runs(times, counts) end
  local function reset()
    local left, refused = used, granted == 0 and cost > 0
    for i = 1, #times do
      left = left - counts[i]
      if refused and left + cost <= limit or not refused and left < limit then return times[i] + window - now end
    end
    return refused and window or 0
  end
  return { granted, max(0, limit - used), reset(), hold, at }
end

local function fixed(list)
  local start, last, spent, changed = window_of(list)
  if last - start >= window then start = last end
  if spent == 0 or start + window <= now then start, last, spent, changed = now, now, 0, false end
  local late = min(owed, max(0, limit - spent))
  local granted = share(max(0, limit - spent - late))
  if late + granted > 0 then
    spent, last, changed = spent + late + granted, max(last, now), true
  end
  if changed then save_window(start, last, spent) end
  local left = start + window - now
  local reset = left
  if spent == 0 and (granted > 0 or cost == 0) then reset = 0 end
  return { granted, max(0, limit - spent), reset, min(hold, left), now }
end

local function bucket(list)
  local at, permits, part, changed = bucket_of(list)
  local function bring(moment)
    if at < moment then
      permits, part = owed_at(moment, at, permits, part)
      at = moment
    end
  end
  -- What is free now. A debt of a later moment is larger now by what refills until then.
  local function available()
    return max(0, capacity - rounded_up(owed_at(now, at, permits, part)))
  end
  bring(now)
  local late = min(owed, available())
  if late > 0 then permits, changed = permits + late, true end
  local before_at, before_permits, before_part, held = at, permits, part, hold
  bring(now + hold)
  local granted = share(available())
  if granted == 0 then
    -- A small bucket has no room for holding, but may have it for spending at once.
    at, permits, part = before_at, before_permits, before_part
    if cost > 0 and hold > 0 then
      held = 0
      if available() >= cost then granted = cost end
    end
  end
  if granted > 0 then permits, changed = permits + granted, true end
  if changed then save_bucket(at, permits, part) end
  local owes, owes_part = owed_at(now, at, permits, part)
  local left = max(0, capacity - rounded_up(owes, owes_part))
  local function until_there(count)
    if count > capacity then return window end
    local more = owes - capacity + count
    if more < 0 then return 0 end
    local by, by_part = muldiv(more, window, limit)
    return by + floor((by_part + owes_part + limit - 1) / limit)
  end
  local reset = 0
  if granted == 0 and cost > 0 then
    reset = until_there(cost)
  elseif owes > 0 or owes_part > 0 then
    reset = until_there(left + 1)
  end
  return { granted, left, reset, held, now + held }
end

if limit == 0 or capacity == 0 then return { 0, 0, window, 0, now } end
local list = load_state()
if algorithm == SLIDING then return sliding(list) end
if algorithm == FIXED then return fixed(list) end
return bucket(list)
