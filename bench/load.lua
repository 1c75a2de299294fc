-- What wrk sends, and how it tells what happened. With an argument it uploads a
-- body of that many bytes. There is no `request` and no `response` function, so
-- wrk calls nothing here while the load runs.
function init(args)
  local size = tonumber(args[1] or "")
  if size then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("u", size)
  end
end

-- Times are in microseconds; `status` counts the answers of 400 and above.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
