// SPDX-License-Identifier: Apache-2.0
// Exceptions between processes.
#include <weft/detail/packing.hpp>
#include <weft/detail/worker_set.hpp>
#include <weft/errors.hpp>

#include <array>
#include <cstdlib>
#include <cxxabi.h>
#include <memory>
#include <new>
#include <system_error>
#include <typeinfo>

namespace weft::rt {

namespace {

/// A type that is brought over as it is.
struct known_type {
    const std::type_info* type;
    void (*raise)(const std::string& what);
};

template <class E>
constexpr known_type known{&typeid(E), [](const std::string& what) { throw E(what); }};

const std::array known_types{
    known<std::runtime_error>, known<std::logic_error>,      known<std::invalid_argument>, known<std::out_of_range>, known<std::domain_error>,
    known<std::length_error>,  known<std::range_error>,      known<std::overflow_error>,   known<std::underflow_error>,
    known<timeout_error>,      known<fiber_killed>,          known<queue_empty>,           known<queue_full>,        known<queue_shutdown>,
    known<deadlock_error>,
    known_type{&typeid(std::bad_alloc), [](const std::string&) { throw std::bad_alloc(); }},
};

enum class kind : std::uint8_t { known, system_error, unknown };

std::string readable(const std::type_info& type) {
    const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
    return name == nullptr ? type.name() : name.get();
}

std::string unknown(const std::string& what) {
    std::string bytes;
    pack(bytes, kind::unknown);
    pack(bytes, what);
    return bytes;
}

std::string pack_system_error(const std::system_error& e) {
    std::string what = e.what();
    const std::string end = e.code().message(); // the constructor adds it again
    if (what.ends_with(end)) what.resize(what.size() - end.size());
    if (what.ends_with(": ")) what.resize(what.size() - 2);
    std::string bytes;
    pack(bytes, kind::system_error);
    pack(bytes, e.code().category() == std::system_category());
    pack(bytes, e.code().value());
    pack(bytes, what);
    return bytes;
}

} // namespace

std::string pack_exception(const std::exception_ptr& e) {
    try {
        std::rethrow_exception(e);
    } catch (const fiber_exit&) {
        return unknown("its fiber was killed");
    } catch (const std::system_error& error) {
        const bool by_number = error.code().category() == std::generic_category() || error.code().category() == std::system_category();
        if (by_number) return pack_system_error(error);
        return unknown(readable(typeid(error)) + ": " + error.what());
    } catch (const std::exception& error) {
        for (std::size_t i = 0; i < known_types.size(); ++i) {
            if (*known_types[i].type != typeid(error)) continue;
            std::string bytes;
            pack(bytes, kind::known);
            pack(bytes, std::uint64_t{i});
            pack(bytes, std::string(error.what()));
            return bytes;
        }
        return unknown(readable(typeid(error)) + ": " + error.what());
    } catch (...) {
        const std::type_info* const type = abi::__cxa_current_exception_type();
        return unknown("an exception of type " + (type == nullptr ? std::string("unknown") : readable(*type)));
    }
}

void throw_packed(std::string_view bytes) {
    switch (unpack<kind>(bytes)) {
    case kind::known: {
        const auto at = static_cast<std::size_t>(unpack<std::uint64_t>(bytes));
        known_types.at(at).raise(unpack<std::string>(bytes));
        break;
    }
    case kind::system_error: {
        const bool system = unpack<bool>(bytes);
        const int code = unpack<int>(bytes);
        throw std::system_error(code, system ? std::system_category() : std::generic_category(), unpack<std::string>(bytes));
    }
    case kind::unknown: break;
    }
    throw process_error("a job in another process threw " + unpack<std::string>(bytes));
}

} // namespace weft::rt
