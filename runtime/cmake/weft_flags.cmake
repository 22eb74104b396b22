# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers and output places; all scoped to this tree, nothing reaches consumers.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

# The build tree has the shape of the install tree, so that programs find each other the same way in both.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_BINDIR}")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_LIBDIR}")

if(PROJECT_IS_TOP_LEVEL)
    set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
    get_property(weft_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
    if(NOT weft_multi_config AND NOT CMAKE_BUILD_TYPE)
        set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
    endif()
    find_program(WEFT_CCACHE ccache)
    mark_as_advanced(WEFT_CCACHE)
    if(WEFT_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
        # The sloppiness is what ccache's manual asks for where precompiled headers are used. Sources have absolute paths: the directory adds nothing.
        set(weft_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1 ${WEFT_CCACHE})
        set(CMAKE_CXX_COMPILER_LAUNCHER ${weft_launcher})
        set(CMAKE_C_COMPILER_LAUNCHER ${weft_launcher})
    endif()
endif()

set(weft_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
set(weft_werror "${WEFT_WERROR}")
if(weft_werror STREQUAL "auto")
    set(weft_werror OFF)
    if(PROJECT_IS_TOP_LEVEL AND NOT "$ENV{CI}" STREQUAL "")
        set(weft_werror ON)
    endif()
endif()
if(weft_werror)
    list(APPEND weft_warnings -Werror)
endif()
if(WEFT_SANITIZE)
    # gcc's manual: sanitizers cause false positives of this warning (they do, inside std::function).
    list(APPEND weft_warnings -Wno-maybe-uninitialized)
    add_compile_options(-fsanitize=${WEFT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${WEFT_SANITIZE})
endif()
if(WEFT_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()

add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${weft_warnings}>")
