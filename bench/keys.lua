-- As load.lua, but each request bears one of many keys in the header x-key: the
-- argument says how many. All requests are made before the load begins.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "load.lua")

local requests, count = {}, 0

function init(args)
  count = tonumber(args[1])
  for n = 1, count do
    requests[n] = wrk.format("GET", nil, { ["Host"] = wrk.headers["Host"], ["X-Key"] = "customer-" .. n })
  end
end

function request()
  return requests[math.random(count)]
end
