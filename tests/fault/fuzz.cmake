# SPDX-License-Identifier: Apache-2.0
# libFuzzer on what reads other people's bytes, where clang++ is found. Target `fuzz` builds them; label `fuzz`, a minute each.
find_program(WEFT_CLANGXX NAMES clang++ clang++-19 clang++-16 clang++-15 clang++-14)
if(NOT WEFT_CLANGXX)
    message(STATUS "weft: fuzzers left out: no clang++")
    return()
endif()

add_custom_target(fuzz)

# weft_add_fuzzer(name SOURCES file... [INCLUDES directory...] [ARGUMENTS word...] [LIBS option...])
function(weft_add_fuzzer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;INCLUDES;ARGUMENTS;LIBS")
    set(program "${CMAKE_CURRENT_BINARY_DIR}/fuzzers/${name}")
    list(TRANSFORM arg_INCLUDES PREPEND -I)
    add_custom_command(OUTPUT "${program}"
        COMMAND ${WEFT_CLANGXX} -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
                "-DWEFT_LIB_FROM_BIN=\"../lib\"" ${arg_INCLUDES} -o "${program}" ${arg_SOURCES} ${arg_LIBS}
        DEPENDS ${arg_SOURCES} COMMENT "Building fuzz-${name}" VERBATIM)
    add_custom_target(fuzz-${name} DEPENDS "${program}")
    add_dependencies(fuzz fuzz-${name})
    # What it finds on its way is kept in the build tree, for the next run.
    set(found "${CMAKE_CURRENT_BINARY_DIR}/fuzzers/found-${name}")
    file(MAKE_DIRECTORY "${found}")
    set(seeds)
    if(IS_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/seeds/${name}")
        set(seeds "${CMAKE_CURRENT_SOURCE_DIR}/seeds/${name}")
    endif()
    add_test(NAME fuzz.${name} WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
             COMMAND "${program}" -max_total_time=60 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0
                     ${arg_ARGUMENTS} "${found}" ${seeds})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 180)
endfunction()

set(shim "${PROJECT_SOURCE_DIR}/shim")
set(runtime "${PROJECT_SOURCE_DIR}/runtime")
set(crawler "${PROJECT_SOURCE_DIR}/samples/crawler")
set(common "${shim}" "${runtime}" "${PROJECT_SOURCE_DIR}/include" "${PROJECT_BINARY_DIR}/include")
weft_add_fuzzer(options ARGUMENTS -close_fd_mask=2 -max_len=512
    SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/fuzz_options.cpp" "${shim}/core/shim_options.cpp" "${shim}/launcher/preload.cpp"
            "${shim}/launcher/sanitizer_runtime.cpp" "${shim}/launcher/find_program.cpp" "${shim}/launcher/elf_file.cpp"
            "${shim}/launcher/options_help.cpp" "${runtime}/core/log.cpp"
    INCLUDES ${common} "${CMAKE_CURRENT_SOURCE_DIR}")
weft_add_fuzzer(elf ARGUMENTS -max_len=20000
    SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/fuzz_elf.cpp" "${shim}/launcher/elf_file.cpp" "${shim}/launcher/inline_calls.cpp"
    INCLUDES ${common})
weft_add_fuzzer(formats ARGUMENTS -max_len=4096
    SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/fuzz_formats.cpp" "${crawler}/robots.cpp" "${crawler}/record.cpp" "${crawler}/url.cpp"
    INCLUDES "${crawler}" LIBS -lcurl)
