-- What both scripts on budgets know: the state of a key, and exact arithmetic. Times are microseconds since 1970 on
-- the server's clock; every number is a whole one below 2^53, where the numbers of Lua are exact.
-- The state is a flat list: format, algorithm, window, and then
--   sliding window: run by run (oldest first) the time since the run before, and the permits;
--   fixed window: the times of its first and last hit, permits;
--   token bucket: a moment, the permits owed then: whole ones, and a part in units of 1/window of one; and the largest
--   limit that permits are held under until that moment.
-- Permits are permits: the limit they were spent under is not part of the state, and the window only as the unit of
-- the part. The rules are those of src/store/algorithm.
local FORMAT, SLIDING, FIXED, BUCKET, RUNS = 78, 0, 1, 2, 33
local EXACT, MOST = 9007199254740992, 4294967295
local floor, min, max, fmod = math.floor, math.min, math.max, math.fmod

local key = KEYS[1]
local algorithm, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, capacity = tonumber(ARGV[3]), tonumber(ARGV[4])
-- The rate that decides how long a bucket is remembered: the smallest limit of all tiers.
local slowest = max(1, tonumber(ARGV[5]))
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
-- Held permits count at the end of their hold: so far ahead of now a time may be. A time that is further ahead was
-- written before the clock was set back.
local ahead = 1000000
-- What a bucket owes at a moment that is still to come it owes now too, and what refills until then at this limit: what
-- is held counts now as it was granted, whichever tier asks.
local holder = limit

-- a * b / m, rounded down (at most 2^52), and the remainder; exact though a * b may not be. a and m are below 2^46.
local function muldiv(a, b, m)
  local product = a * b
  if product < EXACT then
    local rest = fmod(product, m)
    return (product - rest) / m, rest
  end
  local quotient, rest = 0, 0
  for shift = 48, 0, -6 do
    local digit = fmod(floor(b / 2 ^ shift), 64)
    local x = rest * 64 + a * digit
    rest = fmod(x, m)
    quotient = quotient * 64 + (x - rest) / m
    if quotient >= EXACT / 2 then return EXACT / 2, 0 end
  end
  return quotient, rest
end

-- So many permits and parts less so many; never below none.
local function less(permits, part, by, by_part)
  permits, part = permits - by, part - by_part
  if part < 0 then permits, part = permits - 1, part + window end
  if permits < 0 then return 0, 0 end
  return permits, part
end

-- What a bucket owes at a moment that owes so much at another one.
local function owed_at(moment, at, permits, part)
  if moment >= at then return less(permits, part, muldiv(limit, moment - at, window)) end
  local by, by_part = muldiv(holder, at - moment, window)
  permits, part = permits + by, part + by_part
  if part >= window then return permits + 1, part - window end
  return permits, part
end

local function rounded_up(permits, part)
  return part > 0 and permits + 1 or permits
end

local function whole(x, least, most)
  return type(x) == 'number' and x >= least and x <= most and x == floor(x)
end

local function is_ours(list)
  if type(list) ~= 'table' or list[1] ~= FORMAT or not whole(list[3], 1, EXACT) then return false end
  for i = 4, #list do
    if not whole(list[i], 0, EXACT) then return false end
  end
  if list[2] == SLIDING then return #list >= 5 and fmod(#list, 2) == 1 end
  if list[2] == FIXED then return #list == 6 and list[4] <= list[5] end
  return list[2] == BUCKET and #list == 7
end

-- The state, where there is one that we wrote: its list, or nil for anything else. What is not ours is removed.
local function load_state()
  local raw = redis.pcall('GET', key)
  if raw == false or raw == nil then return nil end
  if type(raw) == 'string' then
    local ok, list = pcall(cmsgpack.unpack, raw)
    if ok and is_ours(list) then return list end
  end
  redis.call('DEL', key)
  return nil
end

-- The runs of a stored sliding window that are alive at a moment, or at the time of the last of them: times, permits,
-- their sum, and whether a clock that was set back moved one. What is over is no change: a refused request at a shorter
-- window leaves the state as it is.
local function runs_of(list, moment)
  local times, counts, used, changed, at = {}, {}, 0, false, 0
  for i = 4, #list, 2 do
    at = at + list[i]
    -- Far beyond what a hold explains: not to be believed at all.
    if at <= now + window + ahead then
      times[#times + 1], counts[#counts + 1] = min(at, now + ahead), list[i + 1]
    end
    changed = changed or at > now + ahead
  end
  local first, last = 1, moment or times[#times]
  while times[first] and times[first] + window <= last do first = first + 1 end
  if first > 1 then
    for i = first, #times + first - 1 do times[i - first + 1], counts[i - first + 1] = times[i], counts[i] end
  end
  for i = 1, #counts do used = used + counts[i] end
  return times, counts, used, changed
end

-- A bucket: a moment and what is owed then; and whether the moment was moved.
local function bucket_of(list)
  if not list then return now, 0, 0, false end
  if list[2] == FIXED then return min(list[5], now + ahead), list[6], 0, false end
  if list[2] == SLIDING then
    local at, permits, part, time = 0, 0, 0, 0
    for i = 4, #list, 2 do
      time = time + list[i]
      local moment = min(time, now + ahead)
      permits, part = owed_at(moment, at, permits, part)
      at, permits = moment, permits + list[i + 1]
    end
    return at, permits, part, false
  end
  local at, permits, part, rest = list[4], list[5], list[6], 0
  if list[3] ~= window and part > 0 then
    part, rest = muldiv(part, window, list[3])
    if rest > 0 then part = part + 1 end
    if part >= window then permits, part = permits + 1, part - window end
  end
  if at > now + ahead then return now, permits, part, true end
  if at > now then holder = max(limit, min(MOST, (muldiv(list[7], window, list[3])))) end
  return at, permits, part, false
end

-- A fixed window: the times of its first and last hit, and its permits; and whether the times were moved.
local function window_of(list)
  if not list then return now, now, 0, false end
  if list[2] == FIXED then
    local start, last = list[4], list[5]
    if last > now + ahead then return min(start, now), now, list[6], true end
    return start, last, list[6], false
  end
  if list[2] == SLIDING then
    local times, _, used = runs_of(list, nil)
    local last = times[#times] or now
    return last, last, used, false
  end
  local at = min(list[4], now + ahead)
  return at, at, rounded_up(list[5], list[6]), false
end

-- A sliding window: times, permits, their sum, and whether a time was moved.
local function sliding_of(list)
  if not list then return {}, {}, 0, false end
  if list[2] == SLIDING then return runs_of(list, now) end
  local _, last, spent = window_of(list)
  if spent == 0 or last + window <= now then return {}, {}, 0, false end
  return { last }, { spent }, spent, false
end

local function save(list, until_us)
  redis.call('SET', key, cmsgpack.pack(list), 'PX', max(1, floor((until_us - now) / 1000) + 1))
end

local function save_runs(times, counts)
  if #times == 0 then
    redis.call('DEL', key)
    return
  end
  local list, before = { FORMAT, SLIDING, window }, 0
  for i = 1, #times do
    list[#list + 1], list[#list + 2] = times[i] - before, counts[i]
    before = times[i]
  end
  save(list, before + window)
end

local function save_window(start, last, spent)
  if spent == 0 then
    redis.call('DEL', key)
    return
  end
  save({ FORMAT, FIXED, window, start, last, spent }, last + window)
end

local function save_bucket(at, permits, part)
  local owes = rounded_up(permits, part)
  -- None at a moment that is still to come may be some now.
  if owes == 0 and at <= now then
    redis.call('DEL', key)
    return
  end
  local life = muldiv(owes, window, slowest)
  save({ FORMAT, BUCKET, window, at, permits, part, holder }, at + life + 1)
end
