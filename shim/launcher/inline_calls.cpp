// SPDX-License-Identifier: Apache-2.0
#include "launcher/inline_calls.hpp"

#include <algorithm>
#include <cstring>

namespace weft::launcher {

namespace {

// What follows an opcode byte, in a row of sixteen a line: n nothing, m a ModRM byte, b an 8-bit and z a 16- or 32-bit constant,
// B and Z the same behind a ModRM byte, w 16 bits, d 32 bits, e 24 bits (enter), o an address, v mov's constant, t test's (F6, F7),
// p a prefix, x an escape to another map, - no instruction.
constexpr char one_byte[] =
    "mmmmbz--mmmmbz-x" "mmmmbz--mmmmbz--" "mmmmbzp-mmmmbzp-" "mmmmbzp-mmmmbzp-"
    "pppppppppppppppp" "nnnnnnnnnnnnnnnn" "--xmppppzZbBnnnn" "bbbbbbbbbbbbbbbb"
    "BZ-Bmmmmmmmmmmmx" "nnnnnnnnnn-nnnnn" "oooonnnnbznnnnnn" "bbbbbbbbvvvvvvvv"
    "BBwnxxBZenwnnb-n" "mmmm---nmmmmmmmm" "bbbbbbbbdd-bnnnn" "pnppnnttnnnnnnmm";
constexpr char two_bytes[] = // behind 0F
    "mmmm-nnnnn-n-mnB" "mmmmmmmmmmmmmmmm" "mmmm----mmmmmmmm" "nnnnnnnnx-x-----"
    "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "BBBBmmmnmmmmmmmm"
    "dddddddddddddddd" "mmmmmmmmmmmmmmmm" "nnnmBm--nnnmBmmm" "mmmmmmmmmmBmmmmm"
    "mmBmBBBmnnnnnnnn" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm";
static_assert(sizeof one_byte == 257 && sizeof two_bytes == 257);

/// Bytes from the ModRM byte on, displacement included; 0 if they are not there.
std::size_t modrm_length(std::span<const unsigned char> at) noexcept {
    if (at.empty()) return 0;
    const unsigned mod = at[0] >> 6;
    const unsigned rm = at[0] & 7;
    if (mod == 3) return 1;
    std::size_t size = 1;
    bool base_is_displacement = mod == 0 && rm == 5;
    if (rm == 4) {
        if (at.size() < 2) return 0;
        ++size;
        base_is_displacement = mod == 0 && (at[1] & 7) == 5;
    }
    if (mod == 1) return size + 1;
    return size + (mod == 2 || base_is_displacement ? 4 : 0);
}

} // namespace

std::size_t instruction_length(std::span<const unsigned char> code) noexcept {
    constexpr std::size_t longest = 15;
    code = code.first(std::min(code.size(), longest));
    std::size_t at = 0;
    bool short_operand = false;
    bool short_address = false;
    bool wide = false;
    while (at < code.size() && one_byte[code[at]] == 'p') {
        const unsigned char p = code[at++];
        if (p == 0x66) short_operand = true;
        if (p == 0x67) short_address = true;
        wide = (p & 0xf8) == 0x48; // a REX prefix counts only directly before the opcode
    }
    if (at == code.size()) return 0;
    unsigned char opcode = code[at++];
    char what = one_byte[opcode];
    if (what == 'x') {
        unsigned map = 0;
        bool vector = false;
        if (opcode == 0x0f) {
            map = 1;
        } else if (opcode == 0xc5) {
            map = 1, at += 1, vector = true;
        } else if (opcode == 0xc4 || opcode == 0x62 || opcode == 0x8f) {
            if (at == code.size()) return 0;
            map = code[at] & (opcode == 0x62 ? 7 : 31);
            if (opcode == 0x8f && map < 8) { // pop, not XOP
                const std::size_t rest = modrm_length(code.subspan(at));
                return rest == 0 || at + rest > code.size() ? 0 : at + rest;
            }
            at += opcode == 0x62 ? 3 : 2, vector = true;
        }
        if (at >= code.size()) return 0;
        opcode = code[at++];
        if (map == 1 && !vector && (opcode == 0x38 || opcode == 0x3a)) {
            what = opcode == 0x38 ? 'm' : 'B';
            if (++at > code.size()) return 0;
        } else if (map == 1) {
            what = two_bytes[opcode];
            if (vector && what == 'd') what = 'm'; // mask registers' kmov and its kin
        } else if (map == 2 || map == 9 || map == 5 || map == 6) {
            what = 'm';
        } else if (map == 3 || map == 8) {
            what = 'B';
        } else if (map == 10) {
            what = 'Z', short_operand = false;
        } else {
            return 0;
        }
    }
    const std::size_t operand = short_operand && !wide ? 2 : 4;
    if (std::strchr("mBZt", what) != nullptr) {
        const std::size_t rest = modrm_length(code.subspan(at));
        if (rest == 0) return 0;
        const bool has_constant = what == 't' && (code[at] >> 3 & 7) < 2;
        at += rest;
        if (what == 'B' || (has_constant && opcode == 0xf6)) at += 1;
        if (what == 'Z' || (has_constant && opcode == 0xf7)) at += operand;
    } else {
        switch (what) {
        case 'n': break;
        case 'b': at += 1; break;
        case 'w': at += 2; break;
        case 'e': at += 3; break;
        case 'd': at += 4; break;
        case 'z': at += operand; break;
        case 'v': at += wide ? 8 : operand; break;
        case 'o': at += short_address ? 4 : 8; break;
        default: return 0;
        }
    }
    return at <= code.size() ? at : 0;
}

std::vector<inline_call> find_inline_calls(const elf_file& file) {
    constexpr unsigned most_between = 12; // instructions from the constant to the call
    std::vector<inline_call> found;
    const auto functions = file.functions();
    for (const elf_file::section& s : file.sections()) {
        if ((s.flags & SHF_EXECINSTR) == 0 || s.bytes.empty()) continue;
        auto function = std::lower_bound(functions.begin(), functions.end(), s.address,
                                         [](const elf_file::function& f, std::uint64_t a) { return f.address < a; });
        long number = -1;
        unsigned age = 0;
        for (std::size_t at = 0; at < s.bytes.size();) {
            // Each function begins an instruction, whatever lies before it.
            while (function != functions.end() && function->address < s.address + at) ++function;
            std::size_t room = s.bytes.size() - at;
            if (function != functions.end()) {
                const std::uint64_t ahead = function->address - (s.address + at);
                if (ahead != 0) room = std::min<std::uint64_t>(room, ahead);
            }
            const auto code = s.bytes.subspan(at, room);
            const std::size_t size = instruction_length(code);
            if (size == 2 && code[0] == 0x0f && code[1] == 0x05) {
                inline_call c{s.address + at, {}, age <= most_between ? number : -1};
                auto after = std::upper_bound(functions.begin(), functions.end(), c.address,
                                              [](std::uint64_t a, const elf_file::function& f) { return a < f.address; });
                if (after != functions.begin()) {
                    const auto& f = *std::prev(after);
                    if (f.size == 0 || c.address - f.address < f.size) c.function = f.name;
                }
                found.push_back(std::move(c));
            }
            ++age;
            if (size == 5 && code[0] == 0xb8) {
                std::uint32_t n = 0;
                std::memcpy(&n, code.data() + 1, sizeof n);
                number = static_cast<long>(n);
                age = 0;
            } else if (size == 2 && (code[0] == 0x31 || code[0] == 0x33) && code[1] == 0xc0) {
                number = 0;
                age = 0;
            } else if (size == 0 || code[0] == 0xc3 || code[0] == 0xe8) {
                number = -1; // another path, or a function's result
            }
            at += std::max<std::size_t>(size, 1);
        }
    }
    return found;
}

} // namespace weft::launcher
