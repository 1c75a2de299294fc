-- What both scripts on budgets know: the state of a key, and exact arithmetic. Times are microseconds since 1970 on
-- the server's clock; every number is a whole one below 2^53, where the numbers of Lua are exact.
-- The state is a flat list: format, algorithm, limit, window, capacity, and then
--   sliding window: run by run (oldest first) the time since the run before, and the permits;
--   fixed window: its end, permits; token bucket: when it is full again (microseconds, and parts of 1/limit of one).
local FORMAT, SLIDING, FIXED, BUCKET = 77, 0, 1, 2
local EXACT = 9007199254740992
local floor, min, max, fmod = math.floor, math.min, math.max, math.fmod

local key = KEYS[1]
local algorithm, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, capacity = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

-- a * b / m, rounded down (at most 2^52), and the remainder; exact though a * b may not be. a and m are below 2^45.
local function muldiv(a, b, m)
  local product = a * b
  if product < EXACT then
    local rest = fmod(product, m)
    return (product - rest) / m, rest
  end
  local quotient, rest = 0, 0
  for shift = 48, 0, -8 do
    local digit = fmod(floor(b / 2 ^ shift), 256)
    local x = rest * 256 + a * digit
    rest = fmod(x, m)
    quotient = quotient * 256 + (x - rest) / m
    if quotient >= EXACT / 2 then return EXACT / 2, 0 end
  end
  return quotient, rest
end

-- A moment in a bucket's time: whole microseconds and the rest in parts of 1/of.
local function later(us, part, by_us, by_part, of)
  part = part + by_part
  if part >= of then return us + by_us + 1, part - of end
  return us + by_us, part
end

-- How many permits are spent in a bucket that is full again at `us`, `part`; what is half back counts as spent.
local function owing(us, part, limit_, window_)
  if us < now then return 0 end
  local count, rest = muldiv(limit_, us - now, window_)
  if rest > 0 or part > 0 then count = count + floor((rest + part + window_ - 1) / window_) end
  return count
end

local function whole(x, least, most)
  return type(x) == 'number' and x >= least and x <= most and x == floor(x)
end

-- The state, where there is one that we wrote: its list, or nil for anything else. What is not ours is removed.
local function load_state()
  local raw = redis.pcall('GET', key)
  if raw == false or raw == nil then return nil end
  if type(raw) == 'string' then
    local ok, list = pcall(cmsgpack.unpack, raw)
    if ok and type(list) == 'table' and list[1] == FORMAT and #list >= 7 and fmod(#list, 2) == 1 then
      local good = whole(list[3], 1, EXACT) and whole(list[4], 1, EXACT) and whole(list[5], 0, EXACT)
      for i = 6, #list do good = good and whole(list[i], 0, EXACT) end
      if good then return list end
    end
  end
  redis.call('DEL', key)
  return nil
end

-- The live runs of a stored sliding window: times, permits, their sum, and whether anything was dropped or moved.
-- Only a clock that was set back makes times that are far ahead.
local function runs_of(list, window_, ahead)
  local times, counts, used, changed, at = {}, {}, 0, false, 0
  for i = 6, #list, 2 do
    at = at + list[i]
    local time = at
    if time > now + window_ + ahead then
      time = nil
    elseif time > now + ahead then
      time, changed = now + ahead, true
    end
    if time and time + window_ > now then
      times[#times + 1], counts[#counts + 1] = time, list[i + 1]
      used = used + list[i + 1]
    else
      changed = true
    end
  end
  return times, counts, used, changed
end

local function save(list, until_us)
  redis.call('SET', key, cmsgpack.pack(list), 'PX', max(1, floor((until_us - now) / 1000) + 1))
end

local function save_runs(times, counts)
  if #times == 0 then
    redis.call('DEL', key)
    return
  end
  local list, before = { FORMAT, SLIDING, limit, window, capacity }, 0
  for i = 1, #times do
    list[#list + 1], list[#list + 2] = times[i] - before, counts[i]
    before = times[i]
  end
  save(list, before + window)
end

local function save_window(ends, spent)
  save({ FORMAT, FIXED, limit, window, capacity, ends, spent }, ends)
end

local function save_bucket(us, part)
  if us < now then
    redis.call('DEL', key)
    return
  end
  save({ FORMAT, BUCKET, limit, window, capacity, us, part }, us + 1)
end
