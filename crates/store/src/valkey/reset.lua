-- KEYS: stream. ARGV: expected position. Removes a stream of another history; the live keys are
-- put right by the rebuild that follows.
if position(KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
return 1
