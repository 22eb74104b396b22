// SPDX-License-Identifier: Apache-2.0
// A room where everybody reads what everybody says. Each client has two fibers: one reads its lines, one writes what it is to read, from a
// queue. Who reads too slowly loses lines rather than holding up the others.
#include "common.hpp"

#include <weft/errors.hpp>
#include <weft/queue.hpp>

#include <list>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <sys/socket.h>

namespace {

constexpr std::size_t longest_line = 1000;
constexpr std::size_t lines_waiting = 256;
constexpr std::chrono::seconds patience{30};

class room {
public:
    void serve(weft::connection& client) {
        client.write("What is your name?\n", patience);
        std::optional<std::string> name = client.read_line(100, patience);
        if (!name || name->empty()) return;
        member me(*name);
        const auto place = members_.insert(members_.end(), &me);
        struct leaving {
            room& r;
            member& m;
            std::list<member*>::iterator place;
            ~leaving() {
                r.members_.erase(place);
                r.say("* " + m.name + " has left");
            }
        } const at_end{*this, me, place};
        say("* " + me.name + " is here, one of " + std::to_string(members_.size()));
        auto writer = weft::spawn({.name = "writer"}, [&] { write_all(client, me); });
        struct ending { // before `client` goes
            weft::fiber<void>& f;
            ~ending() { f.kill(); }
        } const writing{writer};
        while (const auto line = client.read_line(longest_line)) {
            if (*line == "/quit") break;
            if (*line == "/who") static_cast<void>(me.to_read.try_put(who()));
            else say(me.name + ": " + *line);
        }
        me.to_read.shutdown(); // what was said before is still written
        writer.join(patience);
    }

    /// The server stops: everybody is told, and goes.
    void close() {
        say("* the room is closed");
        for (member* m : members_) m->to_read.shutdown();
    }

private:
    struct member {
        explicit member(std::string n) : name(std::move(n)), to_read(lines_waiting) {}
        std::string name;
        weft::queue<std::string> to_read;
    };

    void say(const std::string& line) {
        for (member* m : members_) {
            try {
                static_cast<void>(m->to_read.try_put(line)); // a full queue: it is lost on that one
            } catch (const weft::queue_shutdown&) {
            }
        }
    }
    [[nodiscard]] std::string who() const {
        std::string names = "*";
        for (const member* m : members_) names += " " + m->name;
        return names;
    }
    static void write_all(weft::connection& client, member& m) {
        try {
            for (const std::string& line : m.to_read) client.write(line + "\n", patience);
        } catch (const weft::timeout_error&) {
        } catch (const std::system_error&) {
        }
        ::shutdown(client.fd(), SHUT_RDWR); // ends the reader as well
    }

    std::list<member*> members_;
};

} // namespace

int main(int argc, char** argv) {
    samples::options args("A chat room for telnet, nc or chat-client: one line, one message. /who lists names, /quit leaves. Ends by SIGINT or SIGTERM.",
                 "chat-server");
    servers::settings settings;
    settings.add_to(args);
    if (const auto status = args.parse(argc, argv)) return *status;
    if (settings.workers > 1 || settings.processes) {
        std::cerr << "chat-server: the room has one hub\n";
        return 2;
    }
    servers::allow_many_connections();
    room here;
    weft::stream_server server(settings.address, [&](weft::connection& client) {
        try {
            here.serve(client);
        } catch (const weft::timeout_error&) {
        } catch (const std::length_error&) { // no line at all
        } catch (const std::system_error&) {
        }
    }, settings.options());
    return servers::serve(server, settings, [&] { here.close(); });
}
