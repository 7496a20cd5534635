-- KEYS: stream. Returns how far it is, and its last entry.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return {position(KEYS[1]), last[1] and last[1][2][2] or ''}
