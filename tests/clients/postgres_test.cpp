// SPDX-License-Identifier: Apache-2.0
// libpq in fibers: blocking calls that let the other fibers run, and its own errors where a query ends otherwise.
#include "concurrent.hpp"
#include "programs.hpp"
#include "server.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <libpq-fe.h>
#include <memory>
#include <string>
#include <vector>

using namespace clients_test;

namespace {

class postgres {
public:
    postgres() {
        run({"initdb", "--pgdata", data_, "--username", "weft", "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8"},
            place_, user::nobody);
        server_ = std::make_unique<server>(
            words{
                "postgres", "-D", data_, "-p", std::to_string(port_), "-k", place_.path(), "-c", "listen_addresses=127.0.0.1", "-c",
                "max_connections=200", "-c", "fsync=off", "-c", "shared_buffers=16MB"},
            port_, place_, user::nobody);
        wait_until([this] { return PQstatus(connect().get()) == CONNECTION_OK; }, "PostgreSQL answers");
    }

    using connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
    [[nodiscard]] connection connect(const std::string& host = "127.0.0.1") const {
        const std::string where = "host=" + host + " port=" + std::to_string(port_) + " user=weft dbname=postgres connect_timeout=10";
        connection made(PQconnectdb(where.c_str()), &PQfinish);
        PQsetNoticeProcessor(
            made.get(), [](void*, const char*) {}, nullptr); // that the server goes is said on standard error otherwise
        return made;
    }
    [[nodiscard]] std::string port() const { return std::to_string(port_); }
    [[nodiscard]] const std::string& socket_directory() const { return place_.path(); }
    void stop() { server_->stop(SIGQUIT); } // at once, the connections too
    void start() {
        server_->start();
        wait_until([this] { return PQstatus(connect().get()) == CONNECTION_OK; }, "PostgreSQL answers");
    }

private:
    directory place_;
    std::string data_ = place_ / "data";
    std::uint16_t port_ = free_port();
    std::unique_ptr<server> server_;
};

/// The first value, or what went wrong.
std::string ask(PGconn* c, const std::string& query) {
    PGresult* r = PQexec(c, query.c_str());
    const auto status = PQresultStatus(r);
    std::string answer = status == PGRES_TUPLES_OK && PQntuples(r) > 0
                             ? std::string(PQgetvalue(r, 0, 0), static_cast<std::size_t>(PQgetlength(r, 0, 0)))
                         : status == PGRES_COMMAND_OK ? "done"
                                                      : std::string("error: ") + PQerrorMessage(c);
    PQclear(r);
    return answer;
}

} // namespace

TEST_CASE("a hundred fibers ask PostgreSQL at once", "[serial]") {
    const postgres db;
    std::vector<postgres::connection> connections;
    for (int i = 0; i < fibers; ++i) connections.push_back(db.connect());
    for (auto& c : connections) REQUIRE(PQstatus(c.get()) == CONNECTION_OK);
    int failures = 0;
    const auto took = measure("libpq", [&](int i) {
        if (ask(connections[static_cast<std::size_t>(i)].get(), "SELECT " + std::to_string(i) + " FROM pg_sleep(0.1)") != std::to_string(i))
            ++failures;
    });
    CHECK(failures == 0);
    CHECK(took < limit_for_all);
}

TEST_CASE("PostgreSQL connections are made inside fibers, by name, address and Unix socket") {
    const postgres db;
    std::vector<weft::fiber<std::string>> all;
    for (int i = 0; i < 60; ++i)
        all.push_back(weft::spawn([&db, i] {
            const auto c = db.connect(i % 3 == 0 ? "localhost" : i % 3 == 1 ? "127.0.0.1" : db.socket_directory());
            return PQstatus(c.get()) == CONNECTION_OK ? ask(c.get(), "SELECT " + std::to_string(i)) : std::string(PQerrorMessage(c.get()));
        }));
    for (int i = 0; i < 60; ++i) CHECK(all[static_cast<std::size_t>(i)].get(patience) == std::to_string(i));
}

TEST_CASE("big results of PostgreSQL arrive whole, and big parameters go whole") {
    const postgres db;
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&db, i] {
            const auto c = db.connect();
            const std::string what = "repeat(chr(" + std::to_string('a' + i) + ") || '0123456789abcde', 655360)";
            const std::string text = ask(c.get(), "SELECT " + what);
            std::string expected;
            for (int n = 0; n < 655360; ++n) (expected += static_cast<char>('a' + i)) += "0123456789abcde";
            CHECK(text.size() == 10'485'760);
            CHECK((text == expected));
            const char* value = text.c_str();
            PGresult* r = PQexecParams(c.get(), ("SELECT md5($1) = md5(" + what + ")").c_str(), 1, nullptr, &value, nullptr, nullptr, 0);
            CHECK(std::string(PQgetvalue(r, 0, 0)) == "t");
            PQclear(r);
        }));
    for (auto& f : all) f.get(patience);
}

TEST_CASE("a query of PostgreSQL is cancelled by a timeout or a kill, and its connection can be closed") {
    const postgres db;
    weft::spawn([&] {
        const auto c = db.connect();
        CHECK_THROWS_AS(weft::with_timeout(100ms, [&] { return ask(c.get(), "SELECT pg_sleep(30)"); }), weft::timeout_error);
        // libpq has lost its place in the conversation and does not know; a connection whose query was cancelled begins anew.
        CHECK(std::string(PQerrorMessage(c.get())).find("Connection timed out") != std::string::npos);
        PQreset(c.get());
        CHECK(PQstatus(c.get()) == CONNECTION_OK);
        CHECK(ask(c.get(), "SELECT 1") == "1");
    }).get(patience);

    bool closed = false;
    PGconn* killed = nullptr;
    auto f = weft::spawn([&] {
        const auto c = db.connect();
        killed = c.get();
        struct note {
            bool& closed;
            ~note() { closed = true; }
        } const at_end{closed};
        (void)ask(c.get(), "SELECT pg_sleep(30)");
        weft::this_fiber::yield();
        FAIL("the kill was lost");
    });
    wait_until([&] { return killed != nullptr && PQtransactionStatus(killed) == PQTRANS_ACTIVE; }, "the query is in flight");
    CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
    CHECK(closed);

    // A query that is cancelled by PostgreSQL's own means, from another fiber, ends with PostgreSQL's own error.
    const auto c = db.connect();
    auto query = weft::spawn([&] { return ask(c.get(), "SELECT pg_sleep(30)"); });
    wait_until(
        [&] {
            return ask(db.connect().get(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' "
                                           "AND pid = " +
                                               std::to_string(PQbackendPID(c.get()))) == "1";
        },
        "the query is in flight");
    PGcancel* cancel = PQgetCancel(c.get());
    char error[256] = "";
    CHECK(PQcancel(cancel, error, sizeof error) == 1);
    PQfreeCancel(cancel);
    CHECK(query.get(patience).find("canceling statement due to user request") != std::string::npos);
    CHECK(ask(c.get(), "SELECT 1") == "1");
}

TEST_CASE("a PostgreSQL that restarts is an error of libpq, then a connection again") {
    postgres db;
    std::vector<postgres::connection> connections;
    for (int i = 0; i < 10; ++i) connections.push_back(db.connect());
    std::vector<weft::fiber<std::string>> queries;
    for (auto& c : connections) queries.push_back(weft::spawn([&c] { return ask(c.get(), "SELECT pg_sleep(30)"); }));
    wait_until(
        [&] { return ask(db.connect().get(), "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'") == "10"; },
        "the queries are in flight");
    db.stop();
    for (auto& q : queries) CHECK(q.get(patience).starts_with("error: "));
    for (auto& c : connections) CHECK(PQstatus(c.get()) == CONNECTION_BAD);
    weft::spawn([&] {
        const auto refused = db.connect();
        CHECK(PQstatus(refused.get()) == CONNECTION_BAD);
        CHECK(std::string(PQerrorMessage(refused.get())).find("refused") != std::string::npos);
    }).get(patience);
    db.start();
    std::vector<weft::fiber<std::string>> again;
    for (auto& c : connections)
        again.push_back(weft::spawn([&c] {
            PQreset(c.get());
            return ask(c.get(), "SELECT 2");
        }));
    for (auto& a : again) CHECK(a.get(patience) == "2");
}

TEST_CASE("psql, pgbench and pg_dump do under weft what they do without") {
    const postgres db;
    const std::string where = "export PGHOST=localhost PGPORT=" + db.port() + " PGUSER=weft PGDATABASE=postgres\n";
    same_under_weft(where + R"(timeout 60 $WEFT psql -X 2>&1 <<END | sed 's/PID [0-9]*/PID/'
SELECT 1; SELECT pg_sleep(0.1);
CREATE TABLE t(a int, b text); INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 2000) i;
COPY t TO STDOUT;
SELECT count(*), md5(string_agg(a::text || b, ',' ORDER BY a)) FROM t;
SELECT syntax error;
LISTEN told; NOTIFY told, 'something'; SELECT 2;
\! echo a shell
SET statement_timeout = 100; SELECT pg_sleep(20);
DROP TABLE t;
END)");
    same_under_weft(
        where + "timeout 60 $WEFT pgbench -i -q >/dev/null 2>&1 && timeout 60 $WEFT pgbench -c 8 -j 2 -t 50 2>/dev/null | grep processed");
    same_under_weft(where + "timeout 60 $WEFT pgbench -C -c 8 -j 1 -t 5 2>/dev/null | grep processed");
    same_under_weft(
        where + "timeout 60 $WEFT pg_dump --schema-only | grep -v restrict; timeout 60 $WEFT pg_dump -Fd -j 3 -f " + db.socket_directory() +
        "/dump && ls " + db.socket_directory() + "/dump | wc -l; rm -r " + db.socket_directory() + "/dump");
}
