// SPDX-License-Identifier: Apache-2.0
// libmariadb in fibers: blocking calls that let the other fibers run, and its own errors where a query ends otherwise.
#include "concurrent.hpp"
#include "programs.hpp"
#include "server.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <errmsg.h>
#include <memory>
#include <mysql.h>
#include <string>
#include <vector>

using namespace clients_test;

namespace {

using connection = std::unique_ptr<MYSQL, decltype(&mysql_close)>;

class mariadb {
public:
    mariadb() {
        run({"mariadb-install-db", "--no-defaults", "--datadir=" + data_, "--auth-root-authentication-method=normal", "--skip-test-db",
             "--skip-name-resolve", "--innodb-flush-method=nosync", "--innodb-log-file-size=8M"},
            place_, user::nobody);
        server_ = std::make_unique<server>(
            words{
                "mariadbd", "--no-defaults", "--datadir=" + data_, "--port=" + std::to_string(port_), "--bind-address=127.0.0.1",
                "--socket=" + socket_path(), "--pid-file=" + place_ / "pid", "--max-connections=200", "--max-allowed-packet=64M",
                "--skip-name-resolve", "--skip-grant-tables", "--skip-networking=0", "--innodb-flush-method=nosync",
                "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--tmpdir=" + place_.path()},
            port_, place_, user::nobody);
        wait_until([this] { return answers(); }, "MariaDB answers");
    }

    /// mysql_errno says how it went.
    [[nodiscard]] connection connect(const char* host = "127.0.0.1") const {
        connection c(mysql_init(nullptr), &mysql_close);
        // "localhost" means the Unix socket to it unless it is told otherwise.
        const unsigned tcp = MYSQL_PROTOCOL_TCP;
        if (host != nullptr) mysql_options(c.get(), MYSQL_OPT_PROTOCOL, &tcp);
        (void)mysql_real_connect(c.get(), host, "root", nullptr, nullptr, port_, host == nullptr ? socket_path().c_str() : nullptr, 0);
        return c;
    }
    [[nodiscard]] std::string port() const { return std::to_string(port_); }
    [[nodiscard]] std::string socket_path() const { return place_ / "socket"; }
    void stop() { server_->stop(SIGKILL); }
    void start() {
        server_->start();
        wait_until([this] { return answers(); }, "MariaDB answers");
    }

private:
    /// The Unix socket comes after the port.
    [[nodiscard]] bool answers() const { return mysql_errno(connect(nullptr).get()) == 0; }

    directory place_;
    std::string data_ = place_ / "data";
    std::uint16_t port_ = free_port();
    std::unique_ptr<server> server_;
};

/// The first value, or what went wrong.
std::string ask(MYSQL* c, const std::string& query) {
    const auto error = [c] { return "error: " + std::to_string(mysql_errno(c)); };
    if (mysql_real_query(c, query.data(), query.size()) != 0) return error();
    MYSQL_RES* r = mysql_store_result(c);
    if (r == nullptr) return mysql_errno(c) == 0 ? "done" : error();
    const MYSQL_ROW row = mysql_fetch_row(r);
    std::string answer = row == nullptr || row[0] == nullptr ? "nothing" : std::string(row[0], mysql_fetch_lengths(r)[0]);
    mysql_free_result(r);
    return answer;
}

bool is_lost(const std::string& answer) {
    return answer == "error: 2006" || answer == "error: 2013";
}

/// How many connections are in a query that begins so.
int in_flight(const mariadb& db, const std::string& query) {
    const auto c = db.connect();
    return std::atoi(
        ask(c.get(), "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '" + query + "%' AND state = 'User sleep'")
            .c_str());
}

} // namespace

TEST_CASE("a hundred fibers ask MariaDB at once", "[serial]") {
    const mariadb db;
    std::vector<connection> connections;
    for (int i = 0; i < fibers; ++i) connections.push_back(db.connect());
    for (const auto& c : connections) REQUIRE(mysql_errno(c.get()) == 0);
    int failures = 0;
    const auto took = measure("libmariadb", [&](int i) {
        if (ask(connections[static_cast<std::size_t>(i)].get(), "SELECT " + std::to_string(i) + " + SLEEP(0.1)") != std::to_string(i))
            ++failures;
    });
    CHECK(failures == 0);
    CHECK(took < limit_for_all);
}

TEST_CASE("MariaDB connections are made inside fibers, and big results arrive whole") {
    const mariadb db;
    std::vector<weft::fiber<std::string>> all;
    for (int i = 0; i < 60; ++i)
        all.push_back(weft::spawn([&db, i] {
            const auto c = db.connect(i % 3 == 0 ? "localhost" : i % 3 == 1 ? "127.0.0.1" : nullptr);
            return mysql_errno(c.get()) == 0 ? ask(c.get(), "SELECT " + std::to_string(i)) : std::string(mysql_error(c.get()));
        }));
    for (int i = 0; i < 60; ++i) CHECK(all[static_cast<std::size_t>(i)].get(patience) == std::to_string(i));

    std::vector<weft::fiber<void>> big;
    for (int i = 0; i < 4; ++i)
        big.push_back(weft::spawn([&db, i] {
            const auto c = db.connect();
            std::string piece = "a0123456789abcde";
            piece[0] = static_cast<char>('a' + i);
            const std::string text = ask(c.get(), "SELECT REPEAT('" + piece + "', 655360)");
            std::string expected;
            for (int n = 0; n < 655360; ++n) expected += piece;
            CHECK(text.size() == 10'485'760);
            CHECK((text == expected));
            CHECK(ask(c.get(), "SELECT MD5('" + text + "') = MD5(REPEAT('" + piece + "', 655360))") == "1");
        }));
    for (auto& f : big) f.get(patience);
}

TEST_CASE("a query of MariaDB is cancelled by a timeout or a kill, and its connection can be closed") {
    const mariadb db;
    weft::spawn([&] {
        const auto c = db.connect();
        CHECK(time_of([&] {
                  CHECK_THROWS_AS(
                      weft::with_timeout(100ms, [&] { CHECK(is_lost(ask(c.get(), "SELECT SLEEP(30)"))); }), weft::timeout_error);
              }) < 2s);
        CHECK(ask(c.get(), "SELECT 1") == "error: 2006");
    }).get(patience);

    bool closed = false;
    auto f = weft::spawn([&] {
        struct note {
            bool& closed;
            ~note() { closed = true; }
        } const at_end{closed};
        const auto c = db.connect();
        (void)ask(c.get(), "SELECT 1 + SLEEP(30)");
        weft::this_fiber::yield();
        FAIL("the kill was lost");
    });
    wait_until([&] { return in_flight(db, "SELECT 1 + SLEEP") == 1; }, "the query is in flight");
    CHECK(time_of([&] { CHECK(f.kill(patience)); }) < 2s);
    CHECK(closed);

    // A query that another connection ends by MariaDB's own means.
    const auto c = db.connect();
    auto query = weft::spawn([&] { return ask(c.get(), "SELECT 2 + SLEEP(30)"); });
    wait_until([&] { return in_flight(db, "SELECT 2 + SLEEP") == 1; }, "the query is in flight");
    CHECK(ask(db.connect().get(), "KILL CONNECTION " + std::to_string(mysql_thread_id(c.get()))) == "done");
    CHECK(is_lost(query.get(patience)));
}

TEST_CASE("libmariadb's own time limit is its own error") {
    const mariadb db;
    weft::spawn([&] {
        connection c(mysql_init(nullptr), &mysql_close);
        const unsigned seconds = 1;
        mysql_options(c.get(), MYSQL_OPT_READ_TIMEOUT, &seconds);
        REQUIRE(mysql_real_connect(c.get(), nullptr, "root", nullptr, nullptr, 0, db.socket_path().c_str(), 0) != nullptr);
        const auto took = time_of([&] { CHECK(is_lost(ask(c.get(), "SELECT SLEEP(30)"))); });
        CHECK(took >= 990ms);
        CHECK(took < 5s);
    }).get(patience);
}

TEST_CASE("a MariaDB that restarts is an error of libmariadb, then a connection again") {
    mariadb db;
    std::vector<connection> connections;
    for (int i = 0; i < 10; ++i) connections.push_back(db.connect());
    std::vector<weft::fiber<std::string>> queries;
    for (auto& c : connections) queries.push_back(weft::spawn([&c] { return ask(c.get(), "SELECT SLEEP(30)"); }));
    wait_until([&] { return in_flight(db, "SELECT SLEEP") == 10; }, "the queries are in flight");
    db.stop();
    for (auto& q : queries) CHECK(is_lost(q.get(patience)));
    weft::spawn([&] { CHECK(mysql_errno(db.connect().get()) == CR_CONNECTION_ERROR); }).get(patience);
    db.start();
    std::vector<weft::fiber<std::string>> again;
    for (auto& c : connections)
        again.push_back(weft::spawn([&] {
            c = db.connect();
            return ask(c.get(), "SELECT 2");
        }));
    for (auto& a : again) CHECK(a.get(patience) == "2");
}

TEST_CASE("the programs of MariaDB do under weft what they do without") {
    const mariadb db;
    const std::string where = " --no-defaults --protocol=tcp -h 127.0.0.1 -u root -P " + db.port();
    same_under_weft("timeout 60 $WEFT mariadb" + where + R"( --force -t <<END
DROP DATABASE IF EXISTS d; CREATE DATABASE d; USE d; CREATE TABLE t(a int, b text) ENGINE=MyISAM;
INSERT INTO t SELECT seq, REPEAT('x', 100) FROM seq_1_to_2000;
SELECT COUNT(*), SUM(CRC32(CONCAT(a, b))) FROM t; SELECT SLEEP(0.1);
SELECT wrong; SELECT * FROM t;
SET STATEMENT max_statement_time = 0.1 FOR SELECT SLEEP(20);
END)");
    same_under_weft("timeout 60 $WEFT mariadb-dump --skip-dump-date" + where + " d | md5sum");
    same_under_weft(
        "timeout 60 $WEFT mariadb-slap" + where + " --concurrency=10 --iterations=2 --query='SELECT SLEEP(0.01)' | grep clients");
    same_under_weft("timeout 60 $WEFT mariadb-admin" + where + " ping");
}
