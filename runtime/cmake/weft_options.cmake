# SPDX-License-Identifier: Apache-2.0
# What a builder can choose. An option that was set by hand is an order; one that only has its default gives
# way, with a message, where a package for it is missing (see weft_optional_part).

# An option that remembers in <name>_DEFAULTED whether anybody asked for it.
macro(weft_option name text default)
    if(NOT DEFINED ${name})
        set(${name}_DEFAULTED TRUE CACHE INTERNAL "nobody set ${name}")
    endif()
    option(${name} "${text}" ${default})
endmacro()

weft_option(WEFT_BUILD_TESTS "Build weft's tests" ${PROJECT_IS_TOP_LEVEL})
weft_option(WEFT_BUILD_SAMPLES "Build weft's sample programs" ${PROJECT_IS_TOP_LEVEL})
option(WEFT_INSTALL "Add weft to the install target" ${PROJECT_IS_TOP_LEVEL})

set(WEFT_WERROR "auto" CACHE STRING "Warnings are errors: ON, OFF, or auto, which is ON where CI is set in the environment")
set(WEFT_SANITIZE "" CACHE STRING "Value of -fsanitize= for everything built here, as in address,undefined")
option(WEFT_COVERAGE "Instrument for gcov" OFF)

# weft_optional_part(<WEFT_BUILD_X> <what is missing>...): call it where packages for an optional part are
# missing. Fails if the part was asked for, else says so and lets the caller go on without it.
function(weft_optional_part option_name)
    list(JOIN ARGN ", " missing)
    if(${option_name}_DEFAULTED)
        message(STATUS "weft: ${option_name}: skipping what needs ${missing} (not found)")
    else()
        message(FATAL_ERROR "weft: ${option_name} is on, but it needs ${missing}; tests/packages installs what is missing")
    endif()
endfunction()
