// SPDX-License-Identifier: Apache-2.0
// The `weft` command.
#include "launcher/check.hpp"
#include "launcher/options_help.hpp"
#include "launcher/preload.hpp"

#include <weft/version.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace weft::launcher;

/// `weft run`: a switch for each entry of the tables; what was given goes into the environment.
void add_run(CLI::App& app, settings& chosen) {
    CLI::App* run = app.add_subcommand("run", "run a program with its blocking calls served by fibers");
    run->footer("Usage: weft run [options] [--] program args...\n"
                "It execs the program: process id, signals and exit status are the program's. Exit status 126: it cannot be\n"
                "executed; 127: it was not found, or weft's library was not.");
    for (const option& o : options()) {
        if (!o.unit.empty()) {
            run->add_option_function<std::uint64_t>("--" + o.name, [&chosen, &o](std::uint64_t n) { chosen.set(o, n); }, o.help + " (in " + o.unit + ")")
                ->check(CLI::Range(o.least, o.most));
            continue;
        }
        run->add_flag_callback("--" + o.name, [&chosen, &o] { chosen.set(o, true); }, o.help);
        if (o.standard) run->add_flag_callback("--no-" + o.name, [&chosen, &o] { chosen.set(o, false); }, "not so");
    }
    for (const option& f : families())
        run->add_flag_callback("--no-" + f.name, [&chosen, &f] { chosen.set(f, true); },
                               "leave these calls alone: " + f.help);
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app("weft: green threads for programs that never asked for them");
    app.set_version_flag("--version", std::string("weft ") + weft::version);
    bool help_options = false;
    app.add_flag("--help-options", help_options, "print every option with its environment variable and default");
    settings chosen;
    std::vector<std::string> command;
    add_run(app, chosen);
    std::string checked;
    bool as_json = false;
    CLI::App* check_command = app.add_subcommand("check", "say whether a program or process can be served, and which of its calls are");
    check_command->add_option("program", checked, "a program's path or name, or a process id")->required();
    check_command->add_flag("--json", as_json, "as JSON");
    check_command->footer("Exit status 0: it can be served; 1: it cannot; 2: it cannot be read. The program is not run.");
    app.require_subcommand(0, 1);
    try {
        // Options end at the program's name, or at --.
        app.parse(split_command(argc, argv, command));
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 125;
    }
    if (help_options) {
        print_options();
        return 0;
    }
    if (check_command->parsed()) {
        const check_report report = check(checked);
        if (as_json) print_report_as_json(report);
        else print_report(report);
        return static_cast<int>(report.verdict);
    }
    if (!app.got_subcommand("run")) {
        std::fputs(app.help().c_str(), stderr);
        return 125;
    }
    if (command.empty()) {
        std::fputs("weft run: no program given; see weft run --help\n", stderr);
        return 125;
    }
    return run_preloaded(chosen, command);
}
