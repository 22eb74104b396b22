# SPDX-License-Identifier: Apache-2.0
# Run by ctest: asks a Catch2 program for its cases and adds one test for each. See weft_add_test.cmake.

if(NOT EXISTS "${weft_test_program}")
    add_test("${weft_test_name}.NOT_BUILT" "${weft_test_program}")
    return()
endif()

# Sets `variable` to the names of the cases that the arguments select, each ended by a newline. Not a CMake list:
# names may hold brackets and semicolons. Empty if the program crashed.
function(weft_list_cases variable)
    execute_process(COMMAND "${weft_test_program}" ${ARGN} OUTPUT_VARIABLE names RESULT_VARIABLE count TIMEOUT 60)
    if(NOT count MATCHES "^[0-9]+$")
        set(names "")
    endif()
    set(${variable} "${names}" PARENT_SCOPE)
endfunction()

weft_list_cases(all --list-test-names-only)
weft_list_cases(tags --list-tags)
weft_list_cases(long_cases "[long]" --list-test-names-only)
weft_list_cases(serial_cases "[serial]" --list-test-names-only)
string(REGEX MATCHALL "timeout:[0-9]+" limits "${tags}")
foreach(limit IN LISTS limits)
    weft_list_cases("cases_${limit}" "[${limit}]" --list-test-names-only)
endforeach()

if(all STREQUAL "")
    add_test("${weft_test_name}.NO_CASES_LISTED" "${weft_test_program}" --list-tests)
    set_tests_properties("${weft_test_name}.NO_CASES_LISTED" PROPERTIES
        TIMEOUT 30 LABELS "${weft_test_labels}" FAIL_REGULAR_EXPRESSION "0 test cases")
    return()
endif()

while(all MATCHES "^([^\n]*)\n(.*)$")
    set(case "${CMAKE_MATCH_1}")
    set(all "${CMAKE_MATCH_2}")
    set(labels "${weft_test_labels}")
    set(timeout "${weft_test_timeout}")
    string(FIND "\n${long_cases}" "\n${case}\n" place)
    if(NOT place EQUAL -1)
        list(APPEND labels long)
    endif()
    foreach(limit IN LISTS limits)
        string(FIND "\n${cases_${limit}}" "\n${case}\n" place)
        if(NOT place EQUAL -1)
            string(REPLACE "timeout:" "" timeout "${limit}")
        endif()
    endforeach()
    math(EXPR timeout "${timeout} * ${weft_test_timeout_factor}")

    set(test "${weft_test_name}.${case}")
    string(REGEX REPLACE "([],\\[])" "\\\\\\1" filter "${case}") # what Catch2 reads as more than a name
    add_test("${test}" "${weft_test_program}" "${filter}" -w NoTests) # a name that selects nothing fails
    set_tests_properties("${test}" PROPERTIES TIMEOUT "${timeout}" LABELS "${labels}")
    string(FIND "\n${serial_cases}" "\n${case}\n" place)
    if(NOT place EQUAL -1)
        set_tests_properties("${test}" PROPERTIES RUN_SERIAL TRUE)
    endif()
endwhile()
