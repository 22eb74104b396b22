# SPDX-License-Identifier: Apache-2.0

add_library(weft-test-main OBJECT "${CMAKE_CURRENT_SOURCE_DIR}/support/catch_main.cpp")
if(WEFT_SANITIZE MATCHES "address")
    target_sources(weft-test-main PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/support/fork_at_rest.cpp")
    target_include_directories(weft-test-main PRIVATE "${PROJECT_SOURCE_DIR}/runtime")
endif()
target_link_libraries(weft-test-main PUBLIC Catch2::Catch2)
# Catch2's own code, of which 28 s of optimising, or 99 s under UBSan, would make nothing better. It stays
# instrumented for TSan, which must see every atomic in the program.
target_compile_options(weft-test-main PRIVATE -O0 -g0 -w)
if(WEFT_SANITIZE MATCHES "undefined")
    target_compile_options(weft-test-main PRIVATE -fno-sanitize=undefined)
endif()

# weft_test_options(target): what every test program is compiled with.
function(weft_test_options target)
    target_include_directories(${target} PRIVATE
        "${PROJECT_SOURCE_DIR}/runtime" "${PROJECT_SOURCE_DIR}/shim" "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${target} PRIVATE weft::weft Catch2::Catch2)
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>) # lets ccache see through the precompiled header
    # Half the compile time of -O2 -g; what is tested is optimised all the same.
    if(NOT WEFT_COVERAGE)
        target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1> $<$<CONFIG:RelWithDebInfo>:-g1>)
    endif()
endfunction()

add_library(weft-test-pch OBJECT "${CMAKE_CURRENT_SOURCE_DIR}/support/precompiled.cpp")
weft_test_options(weft-test-pch)
target_precompile_headers(weft-test-pch PRIVATE <catch2/catch.hpp>)

# What sanitizer runs build: the test programs with that label and no more.
add_custom_target(tests-unit)
add_custom_target(tests-stress)

# weft_add_test(NAME name SOURCES file... [SHIM] [LIBS lib...] [TIMEOUT seconds] [LABELS label...])
#
# A Catch2 program `name`. Each TEST_CASE becomes the ctest test `name.<its name>`, run in its own process, with
# a limit of TIMEOUT (60) seconds and the labels given (default: unit). These tags of a TEST_CASE mean something:
#   [long]       label long: left out of the normal run
#   [serial]     runs alone (it measures time)
#   [timeout:N]  its own limit in seconds
# Limits are three times as long under a sanitizer.
# SHIM links weft::shim too; where there is no shim in this build the test is left out with a message.
function(weft_add_test)
    cmake_parse_arguments(PARSE_ARGV 0 arg "SHIM" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES)
        message(FATAL_ERROR "weft_add_test: NAME and SOURCES are needed; unknown: '${arg_UNPARSED_ARGUMENTS}'")
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    if(NOT arg_LABELS)
        set(arg_LABELS unit)
    endif()
    if(arg_SHIM AND NOT TARGET weft::shim)
        message(STATUS "weft: test ${arg_NAME} left out: no shim in this build")
        return()
    endif()

    add_executable(${arg_NAME} ${arg_SOURCES} $<TARGET_OBJECTS:weft-test-main>)
    set_target_properties(${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
    weft_test_options(${arg_NAME})
    target_precompile_headers(${arg_NAME} REUSE_FROM weft-test-pch)
    if(arg_SHIM)
        target_link_libraries(${arg_NAME} PRIVATE weft::shim)
    endif()
    target_link_libraries(${arg_NAME} PRIVATE ${arg_LIBS})
    foreach(label IN LISTS arg_LABELS)
        if(TARGET tests-${label})
            add_dependencies(tests-${label} ${arg_NAME})
        endif()
    endforeach()
    weft_discover_tests(${arg_NAME} ${arg_TIMEOUT} "${arg_LABELS}")
endfunction()

# The cases are listed by the program itself when ctest starts, so that a program that cannot run fails its
# tests and not the build.
function(weft_discover_tests target timeout labels)
    if(WEFT_SANITIZE OR WEFT_COVERAGE)
        set(factor 3)
    else()
        set(factor 1)
    endif()
    set(stem "${CMAKE_CURRENT_BINARY_DIR}/${target}_tests")
    file(GENERATE OUTPUT "${stem}-$<CONFIG>.cmake" CONTENT "
set(weft_test_name [==[${target}]==])
set(weft_test_program [==[$<TARGET_FILE:${target}>]==])
set(weft_test_timeout [==[${timeout}]==])
set(weft_test_timeout_factor ${factor})
set(weft_test_labels [==[${labels}]==])
include([==[${PROJECT_SOURCE_DIR}/tests/cmake/discover_cases.cmake]==])
")
    if(CMAKE_CONFIGURATION_TYPES)
        file(WRITE "${stem}.cmake" "include(\"${stem}-\${CTEST_CONFIGURATION_TYPE}.cmake\")\n")
    else()
        file(WRITE "${stem}.cmake" "include(\"${stem}-${CMAKE_BUILD_TYPE}.cmake\")\n")
    endif()
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${stem}.cmake")
endfunction()
