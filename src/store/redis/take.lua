-- Takes between `cost` and `want` permits, or none. Answers: permits taken, permits left, microseconds until that
-- changes (for a refusal: until the cost fits), microseconds that the permits may be held, the moment they count at.
local cost, want = tonumber(ARGV[5]), tonumber(ARGV[6])
local hold, owed = tonumber(ARGV[7]), tonumber(ARGV[8])
local AHEAD = max(1000000, hold)

-- What is spent of a budget that was kept by another algorithm: it becomes one hit.
local function spent_elsewhere(list)
  if list[2] == SLIDING then
    local _, _, used = runs_of(list, list[4], AHEAD)
    return used
  elseif list[2] == FIXED then
    return list[6] > now and list[7] or 0
  elseif list[2] == BUCKET then
    return owing(list[6], list[7], list[3], list[4])
  end
  return 0
end

-- How much is given of what is there: never so much of the rest that other replicas starve.
local function share(available)
  if available < cost then return 0 end
  return min(want, available, max(cost, floor(available / 4)))
end

local function sliding(list)
  local times, counts, used, changed = {}, {}, 0, false
  local cell = math.ceil(window / 32)
  local function add(at, permits)
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
  if list and list[2] == SLIDING then
    times, counts, used, changed = runs_of(list, window, AHEAD)
  elseif list then
    local spent = min(spent_elsewhere(list), limit)
    if spent > 0 then add(now, spent) end
  end
  local late = min(owed, max(0, limit - used))
  if late > 0 then add(now, late) end
  local granted = share(max(0, limit - used))
  local at = now + hold
  if granted > 0 then add(at, granted) end
  if changed then save_runs(times, counts) end
  local reset = 0
  if granted == 0 and cost > 0 then
    local left, i = used, 1
    reset = window
    while left + cost > limit and times[i] do
      left, reset = left - counts[i], times[i] + window - now
      i = i + 1
    end
    if cost > limit then reset = window end
  elseif times[1] then
    reset = times[1] + window - now
  end
  return { granted, max(0, limit - used), reset, hold, at }
end

local function fixed(list)
  local ends, spent, changed = 0, 0, false
  if list and list[2] == FIXED then
    if list[6] > now then ends, spent = list[6], list[7] end
    if ends > now + window then ends, changed = now + window, true end
  elseif list then
    spent = min(spent_elsewhere(list), limit)
    if spent > 0 then ends, changed = now + window, true end
  end
  local late = min(owed, max(0, limit - spent))
  local granted = share(max(0, limit - spent - late))
  if late + granted > 0 then
    if ends == 0 then ends = now + window end
    spent, changed = spent + late + granted, true
  end
  if changed then save_window(ends, spent) end
  local reset = ends > 0 and ends - now or 0
  if granted == 0 and cost > 0 and (ends == 0 or cost > limit) then reset = window end
  return { granted, max(0, limit - spent), reset, min(hold, max(0, ends - now)), now }
end

local function bucket(list)
  local us, part, changed = now, 0, false
  if list and list[2] == BUCKET then
    us, part = list[6], list[7]
    if list[3] ~= limit and part > 0 then us, part = us + 1, 0 end
    if us < now then us, part = now, 0 end
  elseif list then
    local spent = min(spent_elsewhere(list), capacity)
    local by, by_part = muldiv(spent, window, limit)
    us, part = later(us, part, by, by_part, limit)
    changed = spent > 0
  end
  local room, room_part = muldiv(capacity, window, limit)
  -- Never more than the whole bucket is owed: the limit was lowered, or the clock was set back.
  if us > now + room or us == now + room and part > room_part then
    us, part, changed = now + room, room_part, true
  end
  local function available(from, from_part)
    local left, left_part = room - (from - now), room_part - from_part
    if left_part < 0 then left, left_part = left - 1, left_part + limit end
    if left < 0 then return 0 end
    local count, rest = muldiv(limit, left, window)
    return count + floor((rest + left_part) / window)
  end
  local late = min(owed, available(us, part))
  if late > 0 then
    local by, by_part = muldiv(late, window, limit)
    us, part = later(us, part, by, by_part, limit)
    changed = true
  end
  local at, held, from, from_part = now + hold, hold, us, part
  if from < at then from, from_part = at, 0 end
  local granted = share(available(from, from_part))
  if granted == 0 and cost > 0 and from ~= us then
    -- A small bucket has no room for holding, but may have it for spending at once.
    at, held, from, from_part = now, 0, us, part
    if available(from, from_part) >= cost then granted = cost end
  end
  if granted > 0 then
    local by, by_part = muldiv(granted, window, limit)
    us, part = later(from, from_part, by, by_part, limit)
    changed = true
  end
  if changed then save_bucket(us, part) end
  local left = available(us, part)
  local function until_there(count)
    if count > capacity then return window end
    local by, by_part = muldiv(count, window, limit)
    -- Room for so many is there once the debt has shrunk to room - by.
    local wait, wait_part = us - now - room + by, part - room_part + by_part
    return max(0, wait + math.ceil(wait_part / limit))
  end
  local reset = 0
  if granted == 0 and cost > 0 then
    reset = until_there(cost)
  elseif us > now or part > 0 then
    reset = until_there(left + 1)
    if left >= capacity then reset = 0 end
  end
  return { granted, left, reset, held, at }
end

if limit == 0 or capacity == 0 then return { 0, 0, window, 0, now } end
local list = load_state()
if algorithm == SLIDING then return sliding(list) end
if algorithm == FIXED then return fixed(list) end
return bucket(list)
