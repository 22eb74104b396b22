// SPDX-License-Identifier: Apache-2.0
#include "shared_frontier.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <random>
#include <utility>

namespace crawl {
namespace {

// The keys, all beginning with that of the crawl:
//   :way      URL to depth * 1000 + redirects, the shortest way known; being here is being seen
//   :from     URL to the page on which it was found first
//   :links    URL to its redirect's target and its links, packed; being here is being done
//   :queue    URLs that wait; one that was done meanwhile is skipped
//   :leases   crawler to the time until which its claims are its own
//   :claims:<crawler>  its URLs;  :batch:<crawler>  the last ones, should the answer be lost
//   :fetched  how many are done, without those that robots.txt refused
// Each script gets the crawl's key, this crawler's name, its lease in ms, and the depth and the redirects that bound the crawl.
const std::string prelude = R"(
local base, self = KEYS[1], ARGV[1]
local lease, most_depth, most_redirects = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local way, from, links, queue, leases = base .. ':way', base .. ':from', base .. ':links', base .. ':queue', base .. ':leases'
local fetched = base .. ':fetched'
local function claims(who) return base .. ':claims:' .. who end
local function batch(who) return base .. ':batch:' .. who end
local function now()
    local t = redis.call('TIME')
    return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function live() redis.call('ZADD', leases, now() + lease, self) end
local function give_back(who)
    for _, url in ipairs(redis.call('SMEMBERS', claims(who))) do
        if redis.call('HEXISTS', links, url) == 0 then redis.call('LPUSH', queue, url) end
    end
    redis.call('DEL', claims(who), batch(who))
    redis.call('ZREM', leases, who)
end
local function gone() return redis.call('EXISTS', way) == 0 end
local lost = redis.error_reply('GONE its data are no longer there')

-- A way to `url` was found. True: it is the shortest so far, and what lies behind it comes nearer too.
local function reach(url, referrer, depth, redirects)
    if depth > most_depth or redirects > most_redirects then return false end
    local before, new = tonumber(redis.call('HGET', way, url)), depth * 1000 + redirects
    if before and new >= before then return false end
    redis.call('HSET', way, url, new)
    if not before then
        if referrer ~= '' then redis.call('HSET', from, url, referrer) end
        redis.call('RPUSH', queue, url)
    end
    return before ~= nil and redis.call('HEXISTS', links, url) == 1
end
local function spread(first)
    local changed, next = { first }, 1
    while changed[next] do
        local at = changed[next]
        next = next + 1
        local is = tonumber(redis.call('HGET', way, at))
        local depth, redirects = math.floor(is / 1000), is % 1000
        for i, url in ipairs(cmsgpack.unpack(redis.call('HGET', links, at))) do
            local nearer
            if i > 1 then nearer = reach(url, at, depth + 1, 0)
            else nearer = url ~= '' and reach(url, at, depth, redirects + 1) end
            if nearer then changed[#changed + 1] = url end
        end
    end
end
)";

const std::string join_script = prelude + R"(
for _, key in ipairs({ way, from, links, queue, fetched }) do redis.call('PERSIST', key) end
for i = 5, #ARGV do
    if reach(ARGV[i], '', 0, 0) then spread(ARGV[i]) end
end
live()
return 1
)";

// Further arguments: how many, the number of this request, the pages that the crawl may take in all (-1: any number).
const std::string claim_script = prelude + R"(
if gone() then return lost end
local want, number, most_pages = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
for _, who in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now())) do
    if who ~= self then give_back(who) end
end
live()
local taken = 0
for _, who in ipairs(redis.call('ZRANGE', leases, 0, -1)) do taken = taken + redis.call('SCARD', claims(who)) end
local out = { 0, 0 }
if redis.call('HGET', batch(self), 'number') == number then
    for _, value in ipairs(cmsgpack.unpack(redis.call('HGET', batch(self), 'pages'))) do out[#out + 1] = value end
else
    local done = tonumber(redis.call('GET', fetched) or 0)
    if most_pages >= 0 then want = math.min(want, most_pages - done - taken) end
    local pages = {}
    while #pages < 3 * want do
        local url = redis.call('LPOP', queue)
        if not url then break end
        if redis.call('HEXISTS', links, url) == 0 and redis.call('SADD', claims(self), url) == 1 then
            for _, value in ipairs({ url, redis.call('HGET', way, url), redis.call('HGET', from, url) or '' }) do
                pages[#pages + 1] = value
                out[#out + 1] = value
            end
        end
    end
    redis.call('HSET', batch(self), 'number', number, 'pages', cmsgpack.pack(pages))
end
if #out == 2 and taken == 0 then
    -- It is over. Who comes later today is told so; then Redis forgets it.
    out[1] = 1
    for _, key in ipairs({ way, from, links, queue, fetched }) do redis.call('EXPIRE', key, 86400) end
end
out[2] = redis.call('LLEN', queue)
return out
)";

// Further arguments: the URL, its depth should it be unknown, 1 if it was refused, its redirect's target, its links.
const std::string complete_script = prelude + R"(
if gone() then return lost end
local url = ARGV[5]
redis.call('SREM', claims(self), url)
if redis.call('HEXISTS', links, url) == 1 then return 0 end
redis.call('HSETNX', way, url, tonumber(ARGV[6]) * 1000)
local all = {}
for i = 8, #ARGV do all[#all + 1] = ARGV[i] end
redis.call('HSET', links, url, cmsgpack.pack(all))
if ARGV[7] == '0' then redis.call('INCR', fetched) end
spread(url)
return 1
)";

const std::string stay_script = prelude + R"(
if gone() then return lost end
local known = redis.call('ZSCORE', leases, self)
live()
if known then return 1 end
return 0
)";

const std::string leave_script = prelude + "give_back(self) return 1";

std::string make_name() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    std::random_device random;
    return std::string(host.data()) + "-" + std::to_string(::getpid()) + "-" + std::to_string(random());
}

std::string text(const redisReply* r) {
    return r->type == REDIS_REPLY_INTEGER ? std::to_string(r->integer) : std::string(r->str, r->len);
}

} // namespace

shared_frontier::shared_frontier(
    const redis_address& where, frontier_limits limits, std::chrono::milliseconds lease, std::chrono::milliseconds patience)
    : redis_(where, patience), limits_(limits), lease_(lease), self_(make_name()) {}

redis::reply shared_frontier::run(const std::string& script, std::vector<std::string> arguments) {
    std::vector<std::string> all{
        "EVAL", script, "1", "{" + redis_.where().key + "}", self_, std::to_string(lease_.count()), std::to_string(limits_.depth),
        std::to_string(limits_.redirects)};
    for (auto& argument : arguments) all.push_back(std::move(argument));
    try {
        return redis_.command(all);
    } catch (const redis_error& e) {
        throw redis_error("the frontier " + redis_.where().text() + ": " + e.what());
    }
}

void shared_frontier::join(const std::vector<std::string>& start_urls) {
    try {
        redis_.try_command({"PING"});
    } catch (const std::runtime_error& e) {
        throw redis_lost("no frontier at " + redis_.where().text() + ": " + e.what());
    }
    run(join_script, start_urls);
}

shared_frontier::claimed shared_frontier::claim(std::size_t most) {
    const auto unlimited = std::numeric_limits<std::uint64_t>::max();
    const auto pages = limits_.max_pages == unlimited ? std::string("-1") : std::to_string(limits_.max_pages);
    const auto got = run(claim_script, {std::to_string(most), std::to_string(++claims_), pages});
    claimed out;
    out.finished = got->element[0]->integer == 1;
    out.queued = static_cast<std::uint64_t>(got->element[1]->integer);
    for (std::size_t i = 2; i + 2 < got->elements; i += 3) {
        const int way = std::atoi(text(got->element[i + 1]).c_str());
        out.pages.push_back(
            {.url = text(got->element[i]), .referrer = text(got->element[i + 2]), .depth = way / 1000, .redirects = way % 1000});
    }
    return out;
}

void shared_frontier::complete(const outcome& of) {
    std::vector<std::string> arguments{of.url, std::to_string(of.depth), of.refused ? "1" : "0", of.target};
    arguments.insert(arguments.end(), of.links.begin(), of.links.end());
    run(complete_script, std::move(arguments));
}

bool shared_frontier::stay() {
    return run(stay_script, {})->integer == 1;
}

void shared_frontier::leave() noexcept {
    try {
        redis_.try_command({"EVAL", leave_script, "1", "{" + redis_.where().key + "}", self_, "0", "0", "0"});
    } catch (const std::exception&) {
        return; // The lease ends it.
    }
}

} // namespace crawl
