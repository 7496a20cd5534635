-- KEYS: stream, index. ARGV: expected position, entries to keep, channel, prefix of live keys,
-- then for each entry its id, its JSON, what becomes of a live key (keep, set, clear), the
-- key's id, and its value.
-- Whoever is elsewhere than expected is refused before anything is done: a script that a broken
-- connection delivers late, or one that does not know what the server has lost.
if position(KEYS[1]) ~= ARGV[1] then
    return 0
end
for at = 5, #ARGV, 5 do
    local id, entry, change, row, value = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, 'event', entry)
    if change == 'set' then
        redis.call('SADD', KEYS[2], row)
        redis.call('SET', ARGV[4] .. row, value)
    elseif change == 'clear' then
        redis.call('SREM', KEYS[2], row)
        redis.call('DEL', ARGV[4] .. row)
    end
    redis.call('PUBLISH', ARGV[3], entry)
end
return 1
