-- KEYS: stream, index. ARGV: expected position, prefix of live keys, then for each live row its
-- id and its value. Makes the live keys be these and no others.
if position(KEYS[1]) ~= ARGV[1] then
    return 0
end
local live = {}
for at = 3, #ARGV, 2 do
    live[ARGV[at]] = true
end
for _, row in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    if not live[row] then
        redis.call('DEL', ARGV[2] .. row)
        redis.call('SREM', KEYS[2], row)
    end
end
for at = 3, #ARGV, 2 do
    redis.call('SADD', KEYS[2], ARGV[at])
    redis.call('SET', ARGV[2] .. ARGV[at], ARGV[at + 1])
end
return 1
