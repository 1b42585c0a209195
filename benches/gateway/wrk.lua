-- Sends each request with the next of the cookies in the file given after `--`,
-- and ends with one line of JSON. No cookie in the file: one plain request.

local requests = {}
local turn = 0

function init(args)
    for cookie in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", "/", { Cookie = cookie })
    end
    if #requests == 0 then
        requests[1] = wrk.format("GET", "/")
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "bad_status": %d, "socket_errors": %d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
