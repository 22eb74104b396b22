// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/child.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/range.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

/// Other programs: started, fed, listened to and waited for. Only the calling fiber waits; where there is no shim, too.
///
/// A program is looked for in the PATH that it is given unless its name holds a slash. No descriptor of the parent's is open in it but the
/// standard three and `pass_fds`. It is started with the caller's signal mask. SIGCHLD stays the program's: a child is watched and reaped by
/// its pidfd, which it has from the start: where the kernel keeps how it ended (Linux 6.15) that is told also if SIGCHLD is ignored or somebody
/// else reaps it. A program that nobody waits for any more is reaped soon after its end.
///
/// Calls that wait take a deadline and throw `timeout_error` past it; kill and timeout scopes interrupt them. Failing system calls are
/// std::system_error, with exec's errno where a program cannot be run (ENOENT, EACCES, ENOEXEC).
///
/// @code
/// using weft::subprocess;
/// std::string text = weft::check_output({"echo", "hello"}, 5s);
///
/// weft::popen sort({"sort", "-n"}, {.stdin = subprocess::pipe, .stdout = subprocess::pipe});
/// auto [out, err] = sort.communicate("3\n1\n2\n"); // however long
/// int status = sort.wait();
///
/// auto done = weft::run({"sh", "-c", "exit 3"}, {.env = {{"LANG", "C"}}, .cwd = "/"});
/// if (done.returncode != 3) done.check_returncode(); // throws called_process_error
/// (void)status;
/// @endcode
namespace weft {

namespace rt {

/// A program and its arguments: from a list or range of strings, or one string, the program's name.
class command_words {
public:
    command_words(std::initializer_list<std::string> words) : words_(words) {}
    command_words(std::vector<std::string> words) noexcept : words_(std::move(words)) {}
    command_words(std::string program) : words_{std::move(program)} {}
    command_words(std::string_view program) : command_words(std::string(program)) {}
    command_words(const char* program) : command_words(std::string(program)) {}
    template <rt::input_range Range>
        requires(!std::convertible_to<Range, std::string_view> && !std::same_as<std::remove_cvref_t<Range>, command_words> &&
                 std::constructible_from<std::string, rt::range_reference_t<Range>>)
    command_words(Range&& words) {
        for (auto&& w : words) words_.emplace_back(w);
    }
    [[nodiscard]] std::vector<std::string>& words() noexcept { return words_; }

private:
    std::vector<std::string> words_;
};

/// What a standard stream of a program is: see the constants of `subprocess`, or a descriptor, which stays the caller's.
class stdio_choice {
public:
    enum class kind : unsigned char { inherit, pipe, devnull, to_stdout, descriptor };
    constexpr stdio_choice() noexcept = default;
    constexpr stdio_choice(int fd) noexcept : how_(kind::descriptor), fd_(fd) {}
    constexpr explicit stdio_choice(kind how) noexcept : how_(how) {}
    [[nodiscard]] constexpr kind how() const noexcept { return how_; }
    [[nodiscard]] constexpr int fd() const noexcept { return fd_; }

private:
    kind how_ = kind::inherit;
    int fd_ = -1;
};

} // namespace rt

/// A user or group, by number or name.
class process_identity {
public:
    process_identity(std::integral auto number) noexcept : number_(static_cast<long>(number)) {}
    process_identity(std::string name) noexcept : name_(std::move(name)) {}
    process_identity(std::string_view name) : name_(name) {}
    process_identity(const char* name) : name_(name) {}
    [[nodiscard]] bool is_name() const noexcept { return !name_.empty(); }
    [[nodiscard]] long number() const noexcept { return number_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

private:
    long number_ = -1;
    std::string name_;
};

/// The variables of a program's environment; unless something is said, those of this process when the program starts.
class WEFT_API popen_environment {
public:
    popen_environment() noexcept = default;
    /// These and no others.
    popen_environment(std::initializer_list<std::pair<std::string_view, std::string_view>> variables) { assign(variables); }
    template <rt::input_range Range>
        requires(!std::same_as<std::remove_cvref_t<Range>, popen_environment>)
    popen_environment(Range&& variables) {
        assign(variables);
    }
    /// A copy of this process's, to be changed.
    static popen_environment current();

    popen_environment& set(std::string_view name, std::string_view value);
    popen_environment& unset(std::string_view name);
    /// Whether it is this process's.
    [[nodiscard]] bool inherited() const noexcept { return !variables_.has_value(); }
    /// NAME=value each.
    [[nodiscard]] std::vector<std::string> variables() const;

private:
    template <class Range>
    void assign(Range&& variables) {
        variables_.emplace();
        for (const auto& [name, value] : variables) set(name, value);
    }
    std::optional<std::vector<std::string>> variables_;
};

/// How to start a program. Members stay in this order.
struct popen_options {
    std::vector<std::string> args = {}; ///< program and arguments, where they are not given apart
    popen_environment env = {};               ///< all its variables
    std::string cwd = {};               ///< its directory; empty: this process's
    rt::stdio_choice stdin = {};                   ///< inherited unless it is said
    rt::stdio_choice stdout = {};
    rt::stdio_choice stderr = {};
    bool new_session = false;           ///< setsid
    int process_group = -1;             ///< joins that group; 0: one of its own
    bool shell = false;                 ///< the first argument is a line for /bin/sh, the others its $0, $1, ...
    bool close_fds = true;              ///< false: descriptors without close-on-exec stay open
    std::vector<int> pass_fds = {};     ///< stay open under their number
    bool restore_signals = true;        ///< SIGPIPE and SIGXFSZ as they are by default
    int umask = -1;                     ///< its file mode mask, unless negative
    std::optional<process_identity> user = {};  ///< whom it runs as; std::invalid_argument if there is no such name
    std::optional<process_identity> group = {}; ///< alone it keeps the other groups: see extra_groups
    std::optional<std::vector<process_identity>> extra_groups = {}; ///< in place of this process's
    // Of run and check_output only:
    std::optional<std::string> input = {}; ///< what the program reads
    bool capture_output = false;           ///< stdout and stderr are pipes
    bool check = false;                    ///< throw called_process_error unless it ends with 0
};

/// The parent's end of a pipe to a program. It belongs to one fiber at a time; the descriptor blocks, as others see it.
class WEFT_API child_stream {
public:
    child_stream() noexcept = default;
    child_stream(const child_stream&) = delete;
    child_stream& operator=(const child_stream&) = delete;
    ~child_stream() { close(); }

    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    /// -1: it is closed, or the stream is no pipe.
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// All up to the end, or as much as `most` says. What was read before a deadline or an interruption is kept for the next call.
    std::string read(std::size_t most = static_cast<std::size_t>(-1), deadline d = {});
    /// What is there, at least a byte; empty at the end.
    std::string read_some(std::size_t most = 65536, deadline d = {});
    /// Up to a newline, with it; the rest at the end; then empty.
    std::string read_line(deadline d = {});
    /// All of it. Past the deadline some is written. Throws std::system_error (EPIPE) if nobody reads any more.
    void write(std::string_view bytes, deadline d = {});
    void close() noexcept;

private:
    friend class subprocess;
    friend struct subprocess_state;
    bool fill(deadline d);
    long fill_now() noexcept;
    std::string take(std::size_t n);

    int fd_ = -1;
    bool at_end_ = false;
    std::string ahead_; // read, and not yet asked for
};

/// What `communicate` gives: all that the program wrote, for streams that are pipes.
struct process_output {
    std::string stdout;
    std::string stderr;
};

/// A program ended with something else than 0.
class WEFT_API called_process_error : public std::runtime_error {
public:
    called_process_error(const std::vector<std::string>& args, int returncode, process_output output);
    /// As subprocess::wait's.
    [[nodiscard]] int returncode() const noexcept { return returncode_; }
    [[nodiscard]] const std::string& stdout() const noexcept { return output_->stdout; }
    [[nodiscard]] const std::string& stderr() const noexcept { return output_->stderr; }

private:
    int returncode_;
    std::shared_ptr<const process_output> output_;
};

/// What `run` gives.
struct completed_process {
    std::vector<std::string> args = {};
    int returncode = 0; ///< as subprocess::wait's
    std::string stdout = {};
    std::string stderr = {};
    /// Throws called_process_error unless it is 0.
    void check_returncode() const {
        if (returncode != 0) throw called_process_error(args, returncode, {stdout, stderr});
    }
};

struct subprocess_state;

/// A handle to a program that was started: counted and copyable. Dropping the last one closes the pipes; the program goes on.
class WEFT_API subprocess {
public:
    /// The same, under the name that gevent has for it.
    using popen = subprocess;
    using environment = popen_environment;

    static constexpr rt::stdio_choice inherit{rt::stdio_choice::kind::inherit};     ///< this process's own
    static constexpr rt::stdio_choice pipe{rt::stdio_choice::kind::pipe};           ///< to and from this process: stdin(), stdout(), stderr()
    static constexpr rt::stdio_choice devnull{rt::stdio_choice::kind::devnull};     ///< /dev/null
    static constexpr rt::stdio_choice to_stdout{rt::stdio_choice::kind::to_stdout}; ///< for stderr: where stdout goes

    /// A handle to nothing; all but bool and == require a program.
    subprocess() noexcept = default;
    /// Starts a program. Throws std::invalid_argument without one.
    template <int = 0> // so that for {.args = ...} the other one is meant
    subprocess(rt::command_words words, popen_options options = {}) : state_(start(words, options)) {}
    explicit subprocess(popen_options options) : state_(start(options.args, options)) {}

    explicit operator bool() const noexcept { return state_ != nullptr; }
    [[nodiscard]] pid_t pid() const noexcept;
    [[nodiscard]] const std::vector<std::string>& args() const noexcept;

    /// The ends of the pipes asked for.
    [[nodiscard]] child_stream& stdin() const noexcept;
    [[nodiscard]] child_stream& stdout() const noexcept;
    [[nodiscard]] child_stream& stderr() const noexcept;

    /// Writes the input, closes stdin, reads all that the program writes into pipes, and waits for its end, all at the same time. Past the
    /// deadline, or interrupted, nothing is lost: another call (without input) goes on. Throws std::logic_error for input without a pipe.
    process_output communicate(std::string_view input = {}, deadline d = {}) const;
    template <std::convertible_to<deadline> D>
    process_output communicate(D d) const {
        return communicate(std::string_view(), deadline(d));
    }
    /// Waits for its end: its exit status, or the negative number of the signal that ended it.
    int wait(deadline d = {}) const;
    /// The same without waiting: nothing while it runs.
    std::optional<int> poll() const;
    [[nodiscard]] std::optional<int> returncode() const { return poll(); }

    /// False: it has ended. Never reaches another process.
    bool send_signal(int number) const;
    bool terminate() const; ///< SIGTERM
    bool kill() const;      ///< SIGKILL

    /// `callback(subprocess)` runs in a fiber of the caller's hub when it has ended, also if that was before.
    template <class F>
        requires std::invocable<std::decay_t<F>&, subprocess>
    void rawlink(F&& callback) const {
        spawn({.name = "subprocess rawlink"}, [self = *this, fn = std::decay_t<F>(std::forward<F>(callback))]() mutable {
            self.await_end({});
            rt::invoke(fn, self);
        });
    }

    /// Ready when it has ended.
    operator waitable() const;
    friend bool operator==(const subprocess&, const subprocess&) noexcept = default;

    /// Starts a program and waits for its end. If that fails, by the deadline or otherwise, the program is killed and waited for.
    static completed_process run(rt::command_words words, popen_options options = {}, deadline d = {});
    /// The same: what it wrote to stdout. Throws called_process_error unless it ends with 0.
    static std::string check_output(rt::command_words words, popen_options options = {}, deadline d = {});
    /// Both without options.
    template <std::convertible_to<deadline> D>
    static completed_process run(rt::command_words words, D d) {
        return run(std::move(words), popen_options(), deadline(d));
    }
    template <std::convertible_to<deadline> D>
    static std::string check_output(rt::command_words words, D d) {
        return check_output(std::move(words), popen_options(), deadline(d));
    }

private:
    static std::shared_ptr<subprocess_state> start(rt::command_words words, const popen_options& options);
    bool await_end(deadline d) const;
    std::shared_ptr<subprocess_state> state_;
};

/// Those of `subprocess`, without its name.
using popen = subprocess;
inline completed_process run(rt::command_words words, popen_options options = {}, deadline d = {}) {
    return subprocess::run(std::move(words), std::move(options), d);
}
inline std::string check_output(rt::command_words words, popen_options options = {}, deadline d = {}) {
    return subprocess::check_output(std::move(words), std::move(options), d);
}
template <std::convertible_to<deadline> D>
completed_process run(rt::command_words words, D d) {
    return subprocess::run(std::move(words), d);
}
template <std::convertible_to<deadline> D>
std::string check_output(rt::command_words words, D d) {
    return subprocess::check_output(std::move(words), d);
}

} // namespace weft
