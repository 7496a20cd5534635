-- How far a stream is: the last id it gave, also when its entries were trimmed.
local function position(stream)
    if redis.call('EXISTS', stream) == 0 then
        return '0-0'
    end
    local info = redis.call('XINFO', 'STREAM', stream)
    for at = 1, #info, 2 do
        if info[at] == 'last-generated-id' then
            return info[at + 1]
        end
    end
end
