-- beginning.lua - what tells a proxy where a request belongs. Three sample fetches for HAProxy:
--
--   lua.beginning   requests with the same text here begin alike and go to the same replica: `prompt_cache_key`; else
--                   an agent's session header; else the conversation up to the first user's message; else the client
--   lua.place       the same for `balance hash`, but another text at every further try: HAProxy leaves out the replica
--                   that it asked last and no other, so of two that are full it would never come to a third
--   lua.response    the response that the request refers to, or nothing: /v1/responses/ID, `previous_response_id`
--
-- The body is JSON that nobody has checked, perhaps cut at the buffer's end. What can't be read is left out: a wrong
-- guess costs a prefix that is computed again, no more.

local PLAIN = 512                        -- bytes of a text without messages that count as its beginning
local SESSION = { "session-id", "session_id", "x-claude-code-session-id" }
local PARTS = { instructions = true, system = true, messages = true, input = true, prompt = true,
                prompt_cache_key = true, previous_response_id = true }

-- Behind the string that begins at `at`, or nil.
local function behind_string(s, at)
    while true do
        local i = s:find('["\\]', at + 1)
        if not i then return nil end
        if s:byte(i) == 34 then return i + 1 end
        at = i + 1                       -- an escaped character
    end
end

-- Behind the value that begins at `at`, or nil.
local function behind_value(s, at)
    local depth = 0
    while at do
        local c = s:sub(at, at)
        if c == '"' then at = behind_string(s, at)
        elseif c == "{" or c == "[" then depth, at = depth + 1, at + 1
        elseif c == "}" or c == "]" then depth, at = depth - 1, at + 1
        elseif depth == 0 then return (s:find("[,%]}%s]", at))
        else at = s:find('["{}%[%]]', at + 1) end
        if depth == 0 and at then return at end
    end
end

-- The members of PARTS that the object at the beginning of s has, as JSON.
local function parts_of(s)
    local parts, at = {}, s:match("^%s*{()")
    while at do
        local key, value = s:match('^[%s,]*"([%w_]+)"%s*:%s*()', at)
        if not key then                  -- a name that is no word, or the end
            local name = s:match('^[%s,]*()"', at)
            local colon = name and behind_string(s, name)
            value = colon and s:match("^%s*:%s*()", colon)
            if not value then return parts end
        end
        at = behind_value(s, value)
        if PARTS[key] then parts[key] = s:sub(value, (at or #s + 1) - 1) end
    end
    return parts
end

-- A list of messages up to the first of the user; of a text its first bytes.
local function first_of(list)
    local at = list:match("^%[()")
    while at do
        local from = list:match("^[%s,]*()", at)
        at = behind_value(list, from)
        if at and list:sub(from, at - 1):find('"role"%s*:%s*"user"') then return list:sub(1, at - 1) end
    end
    return list:sub(1, list:byte(1) == 91 and -1 or PLAIN)
end

local function text_of(json) return json and json:match('^"([^"\\]+)"$') end

local function session_of(txn)
    for _, name in ipairs(SESSION) do
        local value = txn.sf:req_hdr(name)
        if value ~= "" then return value end
    end
end

-- Both are asked for: the body is read once.
local function parts_of_request(txn)
    local known = txn:get_priv()
    if not known then
        known = parts_of(txn.sf:req_body())
        txn:set_priv(known)
    end
    return known
end

local function beginning(txn)
    local p = parts_of_request(txn)
    local key = text_of(p.prompt_cache_key) or session_of(txn)
    if key then return key end
    local list = p.messages or p.input or p.prompt
    if not list then return txn.sf:src() end
    return (p.instructions or p.system or "") .. first_of(list)
end

core.register_fetches("beginning", beginning)

core.register_fetches("place", function(txn)
    local p = parts_of_request(txn)
    p.tries = (p.tries or 0) + 1
    return p.tries == 1 and beginning(txn) or beginning(txn) .. p.tries
end)

core.register_fetches("response", function(txn)
    local id = txn.sf:path():match("^/v1/responses/(resp_%x+)")
    return id or text_of(parts_of_request(txn).previous_response_id) or ""
end)
