// SPDX-License-Identifier: Apache-2.0
#include <weft/subprocess.hpp>

#include "work/descriptors.hpp"
#include "work/start_program.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <unistd.h>

namespace weft {

// --- Environments ---

popen_environment popen_environment::current() {
    popen_environment e;
    e.variables_ = e.variables();
    return e;
}

popen_environment& popen_environment::unset(std::string_view name) {
    if (inherited()) variables_ = variables();
    std::erase_if(*variables_, [&](const std::string& v) { return v.size() > name.size() && v[name.size()] == '=' && v.starts_with(name); });
    return *this;
}

popen_environment& popen_environment::set(std::string_view name, std::string_view value) {
    if (name.empty() || name.find('=') != name.npos) throw std::invalid_argument("weft: no name for a variable: '" + std::string(name) + "'");
    unset(name);
    variables_->push_back(std::string(name) + "=" + std::string(value));
    return *this;
}

std::vector<std::string> popen_environment::variables() const {
    if (variables_) return *variables_;
    std::vector<std::string> all;
    for (char** v = ::environ; v != nullptr && *v != nullptr; ++v) all.emplace_back(*v);
    return all;
}

// --- Handles ---

struct subprocess_state {
    std::vector<std::string> args;
    std::shared_ptr<rt::child> child;
    child_stream streams[3];
    // Of communicate, kept where it is broken off.
    bool communicating = false;
    std::string input;
    std::size_t written = 0;

    void exchange_now();
    bool exchange(deadline d);
};

std::shared_ptr<subprocess_state> subprocess::start(rt::command_words words, const popen_options& options) {
    auto state = std::make_shared<subprocess_state>();
    state->args = std::move(words.words());
    rt::started_program started = rt::start_program(state->args, options);
    try {
        state->child = rt::child::adopt(started.pid, started.pidfd.release());
    } catch (...) {
        ::kill(started.pid, SIGKILL);
        throw;
    }
    for (int i = 0; i < 3; ++i) state->streams[i].fd_ = started.ends[i].release();
    return state;
}

pid_t subprocess::pid() const noexcept { return state_->child->pid(); }
const std::vector<std::string>& subprocess::args() const noexcept { return state_->args; }
child_stream& subprocess::stdin() const noexcept { return state_->streams[0]; }
child_stream& subprocess::stdout() const noexcept { return state_->streams[1]; }
child_stream& subprocess::stderr() const noexcept { return state_->streams[2]; }
std::optional<int> subprocess::poll() const { return state_->child->poll(); }
bool subprocess::await_end(deadline d) const { return state_->child->wait(d); }
bool subprocess::send_signal(int number) const { return state_->child->send_signal(number); }
bool subprocess::terminate() const { return send_signal(SIGTERM); }
bool subprocess::kill() const { return send_signal(SIGKILL); }
subprocess::operator waitable() const { return rt::child::as_waitable(state_->child); }

int subprocess::wait(deadline d) const {
    if (!await_end(d)) throw timeout_error("the program '" + state_->args[0] + "' still runs");
    return *poll();
}

// --- Both directions at once ---

/// Moves what can be moved without waiting.
void subprocess_state::exchange_now() {
    child_stream& in = streams[0];
    while (in.is_open()) {
        const long n = written == input.size() ? -EPIPE : rt::write_now(in.fd_, input.data() + written, input.size() - written);
        if (n == -EAGAIN) break;
        if (n > 0) written += static_cast<std::size_t>(n);
        else if (n == -EPIPE) in.close(); // all is written, or it wants no more
        else throw std::system_error(static_cast<int>(-n), std::generic_category(), "weft: writing to a program");
    }
    for (child_stream* out : {&streams[1], &streams[2]}) {
        const long n = out->is_open() && !out->at_end_ ? out->fill_now() : 0;
        if (n < 0 && n != -EAGAIN) throw std::system_error(static_cast<int>(-n), std::generic_category(), "weft: reading from a program");
    }
}

bool subprocess_state::exchange(deadline d) {
    for (rt::fair_rounds rounds;; rounds.next()) {
        exchange_now();
        std::array<pollfd, 3> wanted{};
        bool any = false;
        for (std::size_t i = 0; i < 3; ++i) {
            const bool waits = streams[i].is_open() && !streams[i].at_end_;
            wanted[i] = {waits ? streams[i].fd_ : -1, static_cast<short>(i == 0 ? POLLOUT : POLLIN), 0};
            any |= waits;
        }
        if (!any) return true;
        if (rounds.too_late(d) || !rt::await_any(wanted, d)) return false;
    }
}

process_output subprocess::communicate(std::string_view input, deadline d) const {
    subprocess_state& s = *state_;
    if (!input.empty()) {
        if (s.communicating) throw std::logic_error("weft: communicate has been given its input already");
        if (!s.streams[0].is_open()) throw std::logic_error("weft: input for a program whose stdin is no pipe");
        s.input = input;
    }
    s.communicating = true;
    if (!s.exchange(d) || !await_end(d)) throw timeout_error("the program '" + s.args[0] + "' still runs");
    for (child_stream& c : s.streams) c.close();
    return {std::exchange(s.streams[1].ahead_, {}), std::exchange(s.streams[2].ahead_, {})};
}

// --- A program from its start to its end ---

completed_process subprocess::run(rt::command_words words, popen_options options, deadline d) {
    if (options.input) options.stdin = pipe;
    if (options.capture_output) options.stdout = options.stderr = pipe;
    const subprocess program(std::move(words), options);
    try {
        auto [out, err] = program.communicate(options.input ? std::string_view(*options.input) : std::string_view(), d);
        completed_process done{program.args(), program.wait(), std::move(out), std::move(err)};
        if (options.check) done.check_returncode();
        return done;
    } catch (const called_process_error&) {
        throw;
    } catch (...) {
        program.kill();
        const rt::no_interruption until_ended;
        program.await_end({});
        throw;
    }
}

std::string subprocess::check_output(rt::command_words words, popen_options options, deadline d) {
    options.stdout = pipe;
    options.check = true;
    return run(std::move(words), std::move(options), d).stdout;
}

called_process_error::called_process_error(const std::vector<std::string>& args, int returncode, process_output output)
    : std::runtime_error("the program '" + (args.empty() ? std::string() : args[0]) + "' " +
                         (returncode < 0 ? "was ended by signal " + std::to_string(-returncode)
                                         : "ended with status " + std::to_string(returncode))),
      returncode_(returncode), output_(std::make_shared<const process_output>(std::move(output))) {}

} // namespace weft
